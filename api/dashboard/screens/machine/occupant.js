// The task on a GPU: its name as a link, and how far it is.

import { api } from "../../app/api.js";
import { t, word } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { h, setAttribute, setText } from "../../ui/dom.js";
import { duration, isKnown, percent, UNKNOWN } from "../../ui/format.js";
import { meter } from "../../ui/meter.js";

const FOREIGN = { isForeign: true };

/** @typedef {{name?: string|null, isForeign?: boolean}} Named */

/** @type {Map<string, Named>} */
const names = new Map();
/** @type {Map<string, (() => void)[]>} */
const waiting = new Map();

/** Ids of this service's own trainings. */
const OWN = /^(train|cache)_/;

/**
 * Ids are what the snapshot knows; a training's name is asked for once. Programs from elsewhere have none.
 * @param {string} taskId @param {() => void} ready called when it is known @returns {Named|undefined}
 */
export function nameOf(taskId, ready) {
  if (!OWN.test(taskId)) return FOREIGN;
  if (names.has(taskId)) return names.get(taskId);
  const others = waiting.get(taskId);
  if (others) others.push(ready);
  else {
    waiting.set(taskId, [ready]);
    api.task(taskId).then(
      (task) => learn(taskId, { name: task.name }),
      () => learn(taskId, FOREIGN),
    );
  }
  return undefined;
}

/** @param {string} taskId @param {Named} known */
function learn(taskId, known) {
  names.set(taskId, known);
  for (const ready of waiting.get(taskId) ?? []) ready();
  waiting.delete(taskId);
}

export function occupant() {
  const link = h("a", { class: "clip foreign" });
  const figures = h("span", { class: "soft small nowrap" });
  const bar = meter(t("progress"));
  const element = h(
    "div",
    { class: "occupant", hidden: true },
    h("div", { class: "occupant-line" }, link, figures),
    bar.element,
  );
  /** @type {API.CurrentTask|null} */
  let last = null;
  /** @param {API.CurrentTask|null} task */
  function update(task) {
    last = task;
    element.hidden = !task;
    if (!task) return;
    const known = nameOf(task.task_id, () => last && update(last));
    setText(link, known?.name || task.task_id);
    setAttribute(link, "href", known?.isForeign ? null : taskAddress(task.task_id));
    setAttribute(link, "title", `${word("tasktype", task.task_type)} · ${task.task_id}`);
    const left = isKnown(task.estimated_remaining_time)
      ? ` · ${t("left", { time: duration(task.estimated_remaining_time) })}`
      : "";
    setText(figures, isKnown(task.progress) ? percent(task.progress) + left : UNKNOWN);
    bar.update(task.progress);
  }
  return { element, update };
}
