// Loading and empty states of lists.

import { t } from "../app/i18n.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { table } from "./table.js";

export const loading = () => h("p.none.faint", { "aria-busy": "true" }, t("loading"));

/** @param {import("./icons.js").IconName} name @param {string} text */
export const empty = (name, text) => h("div.empty", icon(name), h("p", text));

/**
 * A table whose cells carry their headings, for narrow screens that stack the cells.
 * @param {readonly string[]} heads @param {HTMLElement[]} rows @param {string} className
 */
export function stackedTable(heads, rows, className) {
  for (const row of rows) {
    for (const [i, cell] of [...row.children].entries()) {
      if (cell instanceof HTMLElement) cell.dataset.label = heads[i] ?? "";
    }
  }
  return table(heads, rows, `stacked ${className}`);
}
