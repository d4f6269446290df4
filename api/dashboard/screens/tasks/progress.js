// The progress of a training: a bar with numbers.

import { labelFor, t } from "../../app/i18n.js";
import { h, setText } from "../../ui/dom.js";
import { count, duration, isKnown, percent, UNKNOWN } from "../../ui/format.js";
import { meter } from "../../ui/meter.js";
import { isSpoiled } from "../../ui/status.js";

/** The colour of a bar by task status. */
/** @type {Partial<Record<API.TaskStatus, string>>} */
export const LEVELS = { completed: "ok", failed: "bad", stopped: "idle", stopping: "warn" };

/**
 * The text beside the bar: remaining time, or the stage while that is unknown.
 * @param {API.TaskStatus} status @param {API.Progress} progress
 */
function timeLeft(status, progress) {
  if (status === "running" && isKnown(progress.eta_seconds)) return t("left", { time: duration(progress.eta_seconds) });
  if (status === "running" && progress.stage) return labelFor("stage", progress.stage);
  return "";
}

/** 66 / 120 @param {API.Progress} progress */
export function stepsOf(progress) {
  if (!isKnown(progress.current_step)) return "";
  return t("steps", {
    step: count(progress.current_step),
    total: isKnown(progress.total_steps) ? count(progress.total_steps) : UNKNOWN,
  });
}

export function progressBar() {
  const bar = meter(t("progress"));
  const [value, middle, left] = [h("b"), h("span.clip"), h("span")];
  const element = h("div.progress", h("div.figures", value, middle, left), bar.element);
  return {
    element,
    /** @param {API.TaskStatus} status @param {API.Progress} progress @param {API.Metrics} metrics */
    update(status, progress, metrics) {
      const level = isSpoiled({ metrics }) ? "warn" : LEVELS[status];
      bar.update(progress.overall_progress ?? (status === "queued" ? 0 : null), level);
      setText(value, percent(progress.overall_progress));
      setText(middle, stepsOf(progress));
      setText(left, timeLeft(status, progress));
    },
  };
}
