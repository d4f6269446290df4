// A list of tasks with pages.

import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { fill, h, reconcile, setAttribute, setText } from "../../ui/dom.js";
import { count, weekdayTime } from "../../ui/format.js";
import { pagerOf } from "../../ui/pager.js";
import { panel } from "../../ui/panel.js";
import { isFinished } from "../../ui/status.js";
import { attempt } from "../../ui/toast.js";
import { taskRow } from "./row.js";

/** Most tasks that are selected together. */
const MOST = 500;

// Reasons for waiting change without an event.
const REASONS_MS = 15_000;

/** A page of a list. @typedef {{limit: number, offset: number}} Page */

export class TaskList {
  /** @type {Map<string, ReturnType<typeof taskRow>>} */
  #parts = new Map();
  #offset = 0;
  /** Number of tasks on all pages. */
  #known = 0;
  /** Where a range selection starts. @type {string|null} */
  #anchor = null;
  #requests = 0;
  /** Tasks on another page, or outside of the filter. @type {Set<string>} */
  #elsewhere = new Set();

  /**
   * @param {object} options
   * @param {string} options.title
   * @param {number} options.limit rows per page
   * @param {() => API.Query} [options.values] filter and order
   * @param {() => Node} [options.empty] content of the empty list
   * @param {import("./chosen.js").Chosen} [options.chosen] the selected tasks; without it none can be selected
   * @param {(tag: string) => void} [options.findTag] filters by a tag
   * @param {() => void} options.changed called after an action on a task
   * @param {(page: Page) => Promise<{tasks: API.Row[], pagination: {total: number, has_more: boolean}, queue_empty_at?: string|null}>} [options.ask] fetches the tasks, instead of
   *   the list with these values
   */
  constructor(options) {
    this.options = options;
    this.rows = h("ul.task-rows");
    this.foot = h("div.pager");
    this.total = h("span.count-badge");
    this.none = h("div");
    this.end = h("span.soft.small");
    this.all = h("input", { type: "checkbox", on: { click: () => this.#chooseAll() } });
    this.more = h("button.button.small", { hidden: true, on: { click: () => attempt(() => this.#chooseMore()) } });
    const choose =
      options.chosen && h("span.tools.choose-all", this.more, h("label.soft.small", this.all, t("select.all")));
    this.element = panel("tasks", options.title, [this.total, this.end, choose], this.rows, this.none, this.foot);
    if (options.chosen) this.#letDrag();
    this.refreshing = setInterval(() => this.#refreshReasons(), REASONS_MS);
  }

  /** Returns to the first page, after a filter changed. */
  reset() {
    this.#offset = 0;
    this.#elsewhere.clear();
  }

  close() {
    clearInterval(this.refreshing);
  }

  /**
   * Handles a progress message. An unknown task is fetched once: its start may have been missed.
   * @param {API.TaskProgress} message
   */
  progress(message) {
    const row = this.#parts.get(message.task_id);
    if (row) return row.progress(message);
    if (isFinished(message.status) || this.#elsewhere.has(message.task_id)) return;
    this.#elsewhere.add(message.task_id);
    this.options.changed();
  }

  /** Shows what is selected. */
  showChosen() {
    const { chosen } = this.options;
    if (!chosen) return;
    for (const row of this.#parts.values()) row.showChosen();
    const number = this.tasks.filter((task) => chosen.has(task)).length;
    this.all.checked = number > 0 && number === this.#parts.size;
    this.all.indeterminate = number > 0 && !this.all.checked;
    const most = Math.min(this.#known, MOST);
    this.more.hidden = !this.all.checked || most <= number || chosen.size >= most;
    setText(this.more, t("select.more", { n: count(most) }));
  }

  #chooseAll() {
    this.options.chosen?.set(this.tasks, this.all.checked);
  }

  /** Selects the tasks of all pages. */
  async #chooseMore() {
    const { tasks } = await api.tasks({ ...this.options.values?.(), limit: MOST });
    this.options.chosen?.set(tasks, true);
  }

  /**
   * @param {API.Row} task @param {boolean} isChosen
   * @param {boolean} [isRange] whether it includes the tasks since the previous one
   */
  pick(task, isChosen, isRange = false) {
    const { tasks } = this;
    const [from, to] = [this.#anchor, task.task_id].map((id) => tasks.findIndex((each) => each.task_id === id));
    this.#anchor = task.task_id;
    const range = isRange && from >= 0 ? tasks.slice(Math.min(from, to), Math.max(from, to) + 1) : [task];
    this.options.chosen?.set(range, isChosen);
  }

  /** Lets queued tasks be dragged to another place among the tasks of the same user, class and priority. */
  #letDrag() {
    const rowAt = (/** @type {DragEvent} */ { target }) =>
      target instanceof Element ? this.#parts.get(target.closest("li")?.dataset.task ?? "") : undefined;
    /** @type {API.Row|undefined} */
    let dragged;
    /** @param {DragEvent} event */
    const placeAt = (event) => {
      const other = rowAt(event)?.task;
      const isSame = other && dragged && other.owner === dragged.owner && isEqual(other, dragged);
      return isSame && other.task_id !== dragged?.task_id ? other : undefined;
    };
    const mark = (/** @type {Element|null|undefined} */ row) => {
      for (const each of this.rows.children) each.classList.toggle("drop", each === row);
    };
    this.rows.addEventListener("dragstart", (event) => {
      dragged = rowAt(event)?.task;
      event.dataTransfer?.setData("text/plain", dragged?.task_id ?? "");
    });
    this.rows.addEventListener("dragover", (event) => {
      const place = placeAt(event);
      mark(place && rowAt(event)?.element);
      if (place) event.preventDefault();
    });
    this.rows.addEventListener("dragend", () => {
      dragged = undefined;
      mark(null);
    });
    this.rows.addEventListener("drop", (event) => {
      const [moved, place] = [dragged, placeAt(event)];
      if (!moved || !place?.queue_position) return;
      event.preventDefault();
      const position = place.queue_position;
      attempt(() => api.change(moved.task_id, { queue_position: position })).then(() => this.options.changed());
    });
  }

  #refreshReasons() {
    const waits = [...this.#parts.values()].some((row) => row.task.status === "queued");
    if (waits && !document.hidden) this.refetch().catch(() => {});
  }

  /** @returns {Promise<void>} */
  async refetch() {
    const own = ++this.#requests;
    const page = { limit: this.options.limit, offset: this.#offset };
    const found = await (this.options.ask?.(page) ?? api.tasks({ ...this.options.values?.(), ...page }));
    if (own !== this.#requests) return;
    if (!found.tasks.length && this.#offset > 0) {
      this.#offset = Math.max(0, this.#offset - this.options.limit);
      return this.refetch();
    }
    reconcile(
      this.rows,
      this.#parts,
      found.tasks,
      (task) => task.task_id,
      (task) => taskRow(task, this.options.changed, this.#selecting()),
    );
    this.#known = found.pagination.total;
    this.showChosen();
    const emptyAt = this.options.values?.().order === "queue" ? found.queue_empty_at : null;
    setText(this.end, emptyAt ? t("queue.empty", { time: weekdayTime(emptyAt) }) : "");
    setAttribute(this.end, "title", emptyAt && t("queue.empty.why"));
    fill(this.none, found.tasks.length === 0 && this.options.empty?.());
    fill(this.total, count(found.pagination.total));
    const goTo = (/** @type {number} */ to) => {
      this.#offset = to;
      this.refetch().catch(() => {});
    };
    fill(this.foot, !this.options.ask && pagerOf(page, found.tasks.length, found.pagination, goTo));
  }

  /** @returns {import("./row.js").Selecting|undefined} */
  #selecting() {
    const { chosen, findTag } = this.options;
    const pick = this.pick.bind(this);
    return chosen && { chosen, pick, findTag: findTag ?? (() => {}) };
  }

  get isEmpty() {
    return this.#parts.size === 0;
  }

  /** The tasks shown. */
  get tasks() {
    return [...this.#parts.values()].map((row) => row.task);
  }

  get links() {
    return [...this.#parts.values()].map((row) => row.link);
  }
}

/** @param {API.Row} one @param {API.Row} other */
const isEqual = (one, other) => one.priority === other.priority && one.priority_class === other.priority_class;
