// A list of tasks with its pages.

import { api } from "../../app/api.js";
import { fill, h, reconcile } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { pagerOf } from "../../ui/pager.js";
import { isFinished } from "../../ui/status.js";
import { taskRow } from "./row.js";

// Why a task waits changes without a word.
const REASONS_MS = 15_000;

/** A stretch of a list. @typedef {{limit: number, offset: number}} Page */

/** What runs, newest first, then what waits in the order in which it is served; only the first page. @param {Page} page */
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
  #asked = 0;
  /** Tasks that are known to be on another page, or not to pass the filter. @type {Set<string>} */
  #elsewhere = new Set();

  /**
   * @param {object} how
   * @param {string} how.title
   * @param {number} how.limit rows a page
   * @param {() => API.Query} [how.values] the filter and the order
   * @param {() => Node} [how.empty] what is shown when there are none
   * @param {() => void} how.changed called when something was done to a task
   * @param {(page: Page) => Promise<{tasks: API.Row[], pagination: {total: number, has_more: boolean}}>} [how.ask] where the tasks come from, if not from
   *   the list with these values
   */
  constructor(how) {
    this.how = how;
    this.rows = h("ul", { class: "task-rows" });
    this.foot = h("div", { class: "pager" });
    this.total = h("span", { class: "count-badge" });
    this.none = h("div");
    this.element = h(
      "section",
      { class: "panel tasks", "aria-label": how.title },
      h("header", {}, h("h2", {}, how.title), this.total),
      this.rows,
      this.none,
      this.foot,
    );
    this.refreshing = setInterval(() => this.#refreshReasons(), REASONS_MS);
  }

  /** Back to the first page: after a filter changed. */
  reset() {
    this.#offset = 0;
    this.#elsewhere.clear();
  }

  close() {
    clearInterval(this.refreshing);
  }

  /** What a progress message tells. A task that is not here is looked for once: it may have begun unheard. @param {API.TaskProgress} told */
  progress(told) {
    const row = this.#parts.get(told.task_id);
    if (row) return row.progress(told);
    if (isFinished(told.status) || this.#elsewhere.has(told.task_id)) return;
    this.#elsewhere.add(told.task_id);
    this.how.changed();
  }

  #refreshReasons() {
    const waits = [...this.#parts.values()].some((row) => row.task.status === "queued");
    if (waits && !document.hidden) this.refetch().catch(() => {});
  }

  /** @returns {Promise<void>} */
  async refetch() {
    const asked = ++this.#asked;
    const page = { limit: this.how.limit, offset: this.#offset };
    const found = await (this.how.ask?.(page) ?? api.tasks({ ...this.how.values?.(), ...page }));
    if (asked !== this.#asked) return;
    if (!found.tasks.length && this.#offset > 0) {
      this.#offset = Math.max(0, this.#offset - this.how.limit);
      return this.refetch();
    }
    reconcile(
      this.rows,
      this.#parts,
      found.tasks,
      (task) => task.task_id,
      (task) => taskRow(task, this.how.changed),
    );
    fill(this.none, found.tasks.length === 0 && this.how.empty?.());
    fill(this.total, count(found.pagination.total));
    const goTo = (/** @type {number} */ to) => {
      this.#offset = to;
      this.refetch().catch(() => {});
    };
    fill(this.foot, !this.how.ask && pagerOf(page, found.tasks.length, found.pagination, goTo));
  }

  get isEmpty() {
    return this.#parts.size === 0;
  }

  /** The tasks as they are shown. */
  get tasks() {
    return [...this.#parts.values()].map((row) => row.task);
  }

  get links() {
    return [...this.#parts.values()].map((row) => row.link);
  }
}
