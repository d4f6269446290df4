// A list of tasks with pages.

import { api } from "../../app/api.js";
import { fill, h, reconcile } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { pagerOf } from "../../ui/pager.js";
import { isFinished } from "../../ui/status.js";
import { taskRow } from "./row.js";

// Reasons for waiting change without an event.
const REASONS_MS = 15_000;

/** A page of a list. @typedef {{limit: number, offset: number}} Page */

/** Running tasks, newest first, then queued ones in queue order; only the first page. @param {Page} page */
export async function askActive({ limit }) {
  const [running, waiting] = await Promise.all([
    api.tasks({ status: "starting,running,stopping", limit }),
    api.tasks({ order: "queue", limit }),
  ]);
  const total = running.pagination.total + waiting.pagination.total;
  return { tasks: [...running.tasks, ...waiting.tasks].slice(0, limit), pagination: { total, has_more: false } };
}

export class TaskList {
  /** @type {Map<string, ReturnType<typeof taskRow>>} */
  #parts = new Map();
  #offset = 0;
  #requests = 0;
  /** Tasks on another page, or outside of the filter. @type {Set<string>} */
  #elsewhere = new Set();

  /**
   * @param {object} options
   * @param {string} options.title
   * @param {number} options.limit rows per page
   * @param {() => API.Query} [options.values] filter and order
   * @param {() => Node} [options.empty] content of the empty list
   * @param {() => void} options.changed called after an action on a task
   * @param {(page: Page) => Promise<{tasks: API.Row[], pagination: {total: number, has_more: boolean}}>} [options.ask] fetches the tasks, instead of
   *   the list with these values
   */
  constructor(options) {
    this.options = options;
    this.rows = h("ul", { class: "task-rows" });
    this.foot = h("div", { class: "pager" });
    this.total = h("span", { class: "count-badge" });
    this.none = h("div");
    this.element = h(
      "section",
      { class: "panel tasks", "aria-label": options.title },
      h("header", {}, h("h2", {}, options.title), this.total),
      this.rows,
      this.none,
      this.foot,
    );
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
      (task) => taskRow(task, this.options.changed),
    );
    fill(this.none, found.tasks.length === 0 && this.options.empty?.());
    fill(this.total, count(found.pagination.total));
    const goTo = (/** @type {number} */ to) => {
      this.#offset = to;
      this.refetch().catch(() => {});
    };
    fill(this.foot, !this.options.ask && pagerOf(page, found.tasks.length, found.pagination, goTo));
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
