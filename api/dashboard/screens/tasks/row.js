// The row of a task in a list.

import { t, translate } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { fill, h, setText } from "../../ui/dom.js";
import { count, duration, figure, isKnown, seconds } from "../../ui/format.js";
import { gpuLinks } from "../../ui/gpus.js";
import { menuButton } from "../../ui/menu.js";
import { isFinished, isSpoiled, spoiledChip, statusChip } from "../../ui/status.js";
import { setTime, time } from "../../ui/time.js";
import { waitingText } from "../../ui/waiting.js";
import { actionsFor } from "./actions.js";
import { progressBar } from "./progress.js";

/** Seconds from start to end. @param {API.Row} task */
function lasted(task) {
  const [start, end] = [seconds(task.started_at), seconds(task.finished_at)];
  return start === null || end === null ? null : end - start;
}

/** @param {API.Row} first its current state @param {import("./actions.js").Changed} changed */
export function taskRow(first, changed) {
  const chip = statusChip("task");
  const link = h("a", { class: "task-name clip foreign", href: taskAddress(first.task_id) });
  const under = h("p", { class: "faint tiny clip" });
  const why = h("p", { class: "why small foreign", hidden: true });
  const [gpus, loss] = [h("span"), h("span", { class: "num" })];
  const bar = progressBar();
  const lossLabel = h("span", { class: "cell-label" }, t("loss"));
  const place = h("b", { class: "place", hidden: true });
  const spoiled = spoiledChip();
  const when = time(first.created_at);
  const [whenLabel, took] = [h("span", { class: "faint tiny" }), h("span", { class: "faint tiny" })];
  let task = first;
  let shownReason = "";
  const menu = menuButton(t("actions.of", { name: first.name ?? first.task_id }), () => actionsFor(task, changed));
  const element = h(
    "li",
    { class: "task-row", data: { task: first.task_id } },
    h("div", { class: "cell status-cell" }, chip.element, spoiled),
    h("div", { class: "cell name-cell" }, link, under, why),
    h("div", { class: "cell gpu-cell small" }, gpus),
    h("div", { class: "cell progress-cell" }, place, bar.element),
    h("div", { class: "cell loss-cell" }, lossLabel, loss),
    h("div", { class: "cell time-cell small" }, whenLabel, when, took),
    h("div", { class: "cell menu-cell" }, menu),
  );
  // The whole row links to the task, except links and buttons in it.
  element.addEventListener("click", (event) => {
    if (event.target instanceof Element && !event.target.closest("a, button") && !String(getSelection())) link.click();
  });
  function showTime() {
    const waits = task.status === "queued";
    place.hidden = !waits;
    bar.element.hidden = waits;
    setText(place, isKnown(task.queue_position) ? t("queue.position", { n: count(task.queue_position) }) : "");
    if (waits && task.estimated_start) {
      setText(whenLabel, t("queue.expected"));
      setTime(when, task.estimated_start);
    } else {
      setText(whenLabel, t(task.finished_at ? "ended" : task.started_at ? "started" : "created"));
      setTime(when, task.finished_at ?? task.started_at ?? task.created_at);
    }
    const length = lasted(task);
    setText(took, isFinished(task.status) && length !== null ? t("took", { time: duration(length) }) : "");
  }

  /** @param {string} reason */
  function showReason(reason) {
    const key = reason + JSON.stringify(task.waiting_reason_code);
    if (key === shownReason) return;
    shownReason = key;
    fill(why, task.waiting_reason ? waitingText(reason, task.waiting_reason_code) : reason);
  }

  return {
    element,
    link,
    get task() {
      return task;
    },
    /** @param {API.Row} next */
    update(next) {
      task = next;
      chip.update(task.status);
      setText(link, task.name || task.task_id);
      setText(
        under,
        [
          task.owner ? t("owner.n", { owner: task.owner }) : "",
          task.model_type,
          task.name ? task.task_id : "",
          task.priority ? t("priority.n", { n: task.priority }) : "",
        ]
          .filter(Boolean)
          .join(" · "),
      );
      const { failure } = task;
      const problemText = failure
        ? translate(failure.detail, failure.detail_code)
        : translate(task.warning ?? "", task.warning_code);
      const reason = task.waiting_reason ?? problemText;
      why.hidden = !reason;
      why.dataset.tone = task.failure ? "bad" : task.warning ? "warn" : "idle";
      showReason(reason);
      fill(gpus, gpuLinks(task));
      setText(loss, task.status === "queued" ? "" : figure(task.metrics.current_loss));
      lossLabel.hidden = task.status === "queued";
      bar.update(task.status, task.progress, task.metrics);
      spoiled.hidden = !isSpoiled(task);
      showTime();
    },
    /** Handles a progress message. @param {API.TaskProgress} message */
    progress(message) {
      this.update({ ...task, ...message, task_id: task.task_id });
    },
  };
}
