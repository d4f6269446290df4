// Pauses a GPU: its trainings leave it with a checkpoint, and go on by themselves.

import { whyNot } from "../../app/access.js";
import { api } from "../../app/api.js";
import { schedules } from "../../app/api_schedule.js";
import { t } from "../../app/i18n.js";
import { h, setText } from "../../ui/dom.js";
import { askFields } from "../../ui/form_dialog.js";
import { duration, weekdayTime } from "../../ui/format.js";
import { gpuName, gpuReference } from "../../ui/gpus.js";
import { attempt } from "../../ui/toast.js";

const HOUR = 3600;
const CHOICES = [HOUR / 2, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 24 * HOUR];

/**
 * The button of a GPU: pause, or go on.
 * @param {{isOnCard?: boolean}} [options] a card says itself until when it is paused
 */
export function pauseButton({ isOnCard = false } = {}) {
  const until = h("span.soft.small", { hidden: isOnCard });
  const button = h(`button.button${isOnCard ? ".small" : ""}`, { type: "button", on: { click: act } });
  const element = h("div.pause", until, button);
  /** @type {API.GPU|null} */
  let gpu = null;

  async function act() {
    if (!gpu) return;
    const id = gpuReference(gpu);
    if (gpu.paused_until) return void attempt(() => schedules.unpause(id));
    const task = gpu.current_task;
    const takes = task
      ? await api.task(task.task_id).then(
          (found) => found.stop_seconds,
          () => null,
        )
      : null;
    askFields(
      t("gpu.pause.title", { gpu: gpuName(gpu.gpu_id) }),
      [
        {
          name: "seconds",
          label: t("gpu.pause.for"),
          value: String(2 * HOUR),
          options: CHOICES.map((seconds) => [String(seconds), t("gpu.pause.hours", { n: seconds / HOUR })]),
        },
      ],
      t("gpu.pause.do"),
      ({ seconds }) => schedules.pause(id, Number(seconds)),
      [t("gpu.pause.text"), takes !== null && ` ${t("gpu.pause.takes", { time: duration(takes) })}`],
    );
  }

  return {
    element,
    /** @param {API.GPU} now */
    update(now) {
      gpu = now;
      const why = whyNot("training:write");
      button.disabled = why !== null;
      button.title = why ?? "";
      setText(until, now.paused_until ? t("gpu.paused_until", { until: weekdayTime(now.paused_until) }) : "");
      setText(button, t(now.paused_until ? "gpu.unpause" : "gpu.pause"));
    },
  };
}
