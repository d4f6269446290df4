// The task on a GPU: a link with its name, and its progress.

import { api } from "../../app/api.js";
import { labelFor, t } from "../../app/i18n.js";
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

/** Ids of this service's trainings, caches and rehearsals. */
const OWN = /^(train|cache|rehearse)_/;

/**
 * A training's name is fetched once, because snapshots contain only ids. External programs have no name.
 * @param {string} taskId @param {() => void} ready called when the name is known @returns {Named|undefined}
 */
export function nameOf(taskId, ready) {
  if (!OWN.test(taskId)) return FOREIGN;
  if (names.has(taskId)) return names.get(taskId);
  const others = waiting.get(taskId);
  if (others) others.push(ready);
  else {
    waiting.set(taskId, [ready]);
    api.task(taskId).then(
      (task) => store(taskId, { name: task.name }),
      () => store(taskId, FOREIGN),
    );
  }
  return undefined;
}

/** @param {string} taskId @param {Named} known */
function store(taskId, known) {
  names.set(taskId, known);
  for (const ready of waiting.get(taskId) ?? []) ready();
  waiting.delete(taskId);
}

export function occupant() {
  const link = h("a.clip.foreign");
  const figures = h("span.soft.small.nowrap");
  const bar = meter(t("progress"));
  const element = h("div.occupant", { hidden: true }, h("div.occupant-line", link, figures), bar.element);
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
    setAttribute(link, "title", `${labelFor("tasktype", task.task_type)} · ${task.task_id}`);
    const left = isKnown(task.estimated_remaining_time)
      ? ` · ${t("left", { time: duration(task.estimated_remaining_time) })}`
      : "";
    setText(figures, isKnown(task.progress) ? percent(task.progress) + left : UNKNOWN);
    bar.update(task.progress);
  }
  return { element, update };
}
