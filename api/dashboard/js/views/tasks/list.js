// A list of tasks with its pages.

import { api } from "../../api.js";
import { fill, h, reconcile } from "../../dom.js";
import { count } from "../../format.js";
import { t } from "../../i18n.js";
import { icon } from "../../icons.js";
import { taskRow } from "./row.js";

export class TaskList {
  #parts = new Map();
  #offset = 0;
  #asked = 0;

  /**
   * @param {object} how
   * @param {string} how.title
   * @param {number} how.limit rows a page
   * @param {() => Record<string, string>} how.values the filter
   * @param {() => Node} how.empty what is shown when there are none
   * @param {() => void} how.changed called when something was done to a task
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
  }

  /** Back to the first page: after a filter changed. */
  reset() {
    this.#offset = 0;
  }

  async refetch() {
    const asked = ++this.#asked;
    const found = await api.tasks({ ...this.how.values(), limit: this.how.limit, offset: this.#offset });
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
    fill(this.none, found.tasks.length === 0 && this.how.empty());
    fill(this.total, count(found.pagination.total));
    fill(this.foot, found.pagination.total > this.how.limit && this.#pager(found.pagination, found.tasks.length));
  }

  #pager({ total, has_more: hasMore }, shown) {
    const turn = (by) => {
      this.#offset = Math.max(0, this.#offset + by);
      this.refetch().catch(() => {});
    };
    return [
      h(
        "span",
        { class: "soft small" },
        t("page.of", { from: count(this.#offset + 1), to: count(this.#offset + shown), total: count(total) }),
      ),
      h(
        "button",
        {
          class: "icon-button small",
          "aria-label": t("page.back"),
          disabled: this.#offset === 0,
          on: { click: () => turn(-this.how.limit) },
        },
        icon("left"),
      ),
      h(
        "button",
        {
          class: "icon-button small",
          "aria-label": t("page.on"),
          disabled: !hasMore,
          on: { click: () => turn(this.how.limit) },
        },
        icon("right"),
      ),
    ];
  }

  get size() {
    return this.#parts.size;
  }

  row(taskId) {
    return this.#parts.get(taskId);
  }

  get links() {
    return [...this.rows.children].map((row) => row.querySelector(".task-name"));
  }
}
