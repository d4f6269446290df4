// The request, the trainer's files, and the attempts.

import { labelFor, t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { count, duration, isKnown, seconds, UNKNOWN } from "../../ui/format.js";
import { gpuNames } from "../../ui/gpus.js";
import { panel } from "../../ui/panel.js";
import { segments } from "../../ui/segments.js";
import { headings, table } from "../../ui/table.js";
import { time } from "../../ui/time.js";

/** Causes of attempts that have not failed, but made room. */
const MADE_ROOM = new Set(["gpu_paused", "outside_schedule", "neighbour", "urgent_task"]);

export function requestView() {
  const element = h("section.panel", { "aria-label": t("request") });
  let drawn = "";
  return {
    element,
    /** @param {API.Task} task */
    update(task) {
      /** @type {Record<string, string>} */
      const files = {
        ...task.plan.files,
        [t("request")]: JSON.stringify(task.request, null, 2),
        [t("plan.command")]: task.plan.command.join(" \\\n  "),
      };
      if (JSON.stringify(files) === drawn) return;
      drawn = JSON.stringify(files);
      const names = Object.keys(files);
      const shown = h("pre.file.foreign", { tabindex: 0 }, files[names[0]]);
      const choice = segments(
        t("files"),
        names.map((name) => ({ value: name, label: name })),
        names[0],
        (name) => {
          shown.textContent = files[name];
        },
      );
      fill(element, h("header", h("h2", t("request")), h("div.tools", choice.element)), h("div.body", shown));
    },
  };
}

export function attemptsView() {
  const body = h("div.body");
  const element = panel("", t("attempts"), null, body);
  return {
    element,
    /** @param {API.Task} task */
    update({ attempts, progress }) {
      element.hidden = attempts.length === 0;
      const heads = headings(
        "attempt",
        "status",
        "gpus",
        "attempt.start",
        "duration",
        "steps.range",
        "attempt.outcome",
      );
      const rows = [...attempts].reverse().map((attempt) => attemptRow(attempt, progress.current_step));
      fill(body, table(heads, rows));
    },
  };
}

/** @param {API.Attempt} attempt @param {number|null} step the current step */
function attemptRow(attempt, step) {
  const [from, to] = [seconds(attempt.started_at), seconds(attempt.ended_at)];
  const last = to === null ? step : attempt.last_step;
  const steps = isKnown(attempt.first_step) ? `${count(attempt.first_step)} – ${count(last)}` : UNKNOWN;
  const end = attempt.failure
    ? labelFor("cause", attempt.failure.code)
    : isKnown(attempt.signal)
      ? t("signal", { n: attempt.signal })
      : isKnown(attempt.exit_code)
        ? t("exit.code", { n: attempt.exit_code })
        : UNKNOWN;
  return h(
    "tr",
    h("td", attempt.number, attempt.resumed_from && h("span.faint", ` ← ${attempt.resumed_from}`)),
    h("td", labelFor("attempt", attempt.status)),
    h("td", gpuNames(attempt.gpu_ids)),
    h("td", attempt.started_at ? time(attempt.started_at) : UNKNOWN),
    h("td", from !== null && to !== null ? duration(to - from) : UNKNOWN),
    h("td", steps),
    h("td", { class: attempt.failure && !MADE_ROOM.has(attempt.failure.code) ? "bad" : "soft" }, end),
  );
}
