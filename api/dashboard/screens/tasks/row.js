// The row of a task in a list.

import { t, translate } from "../../app/i18n.js";
import { sweepAddress, taskAddress } from "../../app/router.js";
import { fill, h, openByRow, setText } from "../../ui/dom.js";
import { count, duration, figure, isKnown, seconds } from "../../ui/format.js";
import { gpuLinks } from "../../ui/gpus.js";
import { menuButton } from "../../ui/menu.js";
import { orderTexts } from "../../ui/order.js";
import { isFinished, isSpoiled, spoiledChip, statusChip } from "../../ui/status.js";
import { setTime, time } from "../../ui/time.js";
import { waitingText } from "../../ui/waiting.js";
import { actionsFor } from "./actions.js";
import { progressBar } from "./progress.js";

/**
 * `pick` selects or deselects a task, or with `isRange` all up to it.
 * @typedef {object} Selecting
 * @property {import("./chosen.js").Chosen} chosen
 * @property {(task: API.Row, isChosen: boolean, isRange: boolean) => void} pick
 * @property {(tag: string) => void} findTag
 */

/** @param {API.Row} task */
const nameOf = (task) => task.name ?? task.task_id;

/** Seconds from start to end. @param {API.Row} task */
function lasted(task) {
  const [start, end] = [seconds(task.started_at), seconds(task.finished_at)];
  return start === null || end === null ? null : end - start;
}

/**
 * @param {API.Row} first its current state
 * @param {import("./actions.js").Changed} changed
 * @param {Selecting} [selecting] without it, tasks cannot be selected
 */
export function taskRow(first, changed, selecting) {
  const chip = statusChip("task");
  // Not draggable itself, since its row may be.
  const link = h("a.task-name.clip.foreign", { href: taskAddress(first.task_id), draggable: "false" });
  const [under, tags] = [h("span.faint.tiny.clip"), h("span.tag-row")];
  const why = h("p.why.small.foreign", { hidden: true });
  const whyButton = h(
    "button.text-button.why-button",
    { hidden: true, "aria-expanded": "false", on: { click: () => showWhy(why.hidden) } },
    t("why"),
  );
  const [gpus, loss] = [h("span"), h("span.num")];
  const bar = progressBar();
  const lossLabel = h("span.cell-label", t("loss"));
  const place = h("b.place", { hidden: true });
  const spoiled = spoiledChip();
  const when = time(first.created_at);
  const [whenLabel, took] = [h("span.faint.tiny"), h("span.faint.tiny")];
  let task = first;
  let shownReason = "";
  let shownTags = "";
  const box = selecting && h("input", { type: "checkbox", "aria-label": t("select.one", { name: nameOf(first) }) });
  box?.addEventListener("click", ({ shiftKey }) => selecting?.pick(task, box.checked, shiftKey));
  const menu = menuButton(t("actions.of", { name: nameOf(first) }), () => actionsFor(task, changed));
  const element = h(
    "li.task-row",
    { data: { task: first.task_id } },
    box && h("label.cell.choose-cell", box),
    h("div.cell.status-cell", chip.element, spoiled, whyButton),
    h("div.cell.name-cell", link, tags, under),
    h("div.cell.gpu-cell.small", gpus),
    h("div.cell.progress-cell", place, bar.element),
    h("div.cell.loss-cell", lossLabel, loss),
    h("div.cell.time-cell.small", whenLabel, when, took),
    h("div.cell.menu-cell", menu),
    why,
  );
  openByRow(element, link, "a, button, label, .why");
  /** @param {boolean} isShown */
  function showWhy(isShown) {
    why.hidden = !isShown;
    whyButton.setAttribute("aria-expanded", String(isShown));
  }

  function showTags() {
    const key = [task.sweep_id, ...task.tags].join("\n");
    if (key === shownTags) return;
    shownTags = key;
    const find = (/** @type {string} */ tag) =>
      h("button.tag.foreign", { title: t("tags.filter", { tag }), on: { click: () => selecting?.findTag(tag) } }, tag);
    fill(
      tags,
      task.sweep_id && h("a.tag", { href: sweepAddress(task.sweep_id) }, t("sweep")),
      task.tags.map((tag) => (selecting ? find(tag) : h("span.tag.foreign", tag))),
    );
  }

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
    whyButton.title = why.textContent ?? "";
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
      selecting?.chosen.refresh(next);
      this.showChosen();
      element.draggable = selecting !== undefined && next.status === "queued";
      chip.update(task.status);
      setText(link, task.name || task.task_id);
      setText(
        under,
        [
          ...orderTexts(next),
          task.owner ? t("owner.n", { owner: task.owner }) : "",
          task.model_type,
          task.name ? task.task_id : "",
          task.chosen ? t("chosen.row", { name: task.chosen }) : "",
        ]
          .filter(Boolean)
          .join(" · "),
      );
      showTags();
      const { failure } = task;
      const problemText = failure
        ? translate(failure.detail, failure.detail_code)
        : translate(task.warning ?? "", task.warning_code);
      const reason = task.waiting_reason ?? problemText;
      whyButton.hidden = !reason;
      if (!reason) showWhy(false);
      const tone = task.failure ? "bad" : task.warning ? "warn" : "idle";
      why.dataset.tone = whyButton.dataset.tone = tone;
      showReason(reason);
      fill(gpus, gpuLinks(task));
      setText(loss, task.status === "queued" ? "" : figure(task.metrics.current_loss));
      lossLabel.hidden = task.status === "queued";
      bar.update(task.status, task.progress, task.metrics);
      spoiled.hidden = !isSpoiled(task);
      showTime();
    },
    /** Shows whether the task is selected. */
    showChosen() {
      if (box) box.checked = selecting?.chosen.has(task) ?? false;
    },
    /** Handles a progress message. @param {API.TaskProgress} message */
    progress(message) {
      this.update({ ...task, ...message, task_id: task.task_id });
    },
  };
}
