// What a list shows before it has come, and when there is nothing in it.

import { t } from "../app/i18n.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { table } from "./table.js";

export const loading = () => h("p", { class: "none faint", "aria-busy": "true" }, t("loading"));

/** @param {import("./icons.js").IconName} name @param {string} text */
export const empty = (name, text) => h("div", { class: "empty" }, icon(name), h("p", {}, text));

/**
 * A table whose cells know their heads: where there is no room beside each other they stand below each other.
 * @param {import("./table.js").Head[]} heads @param {HTMLElement[]} rows @param {string} className
 */
export function stackedTable(heads, rows, className) {
  for (const row of rows) {
    for (const [i, cell] of [...row.children].entries()) {
      if (cell instanceof HTMLElement) cell.dataset.label = heads[i]?.label ?? "";
    }
  }
  return table(heads, rows, `stacked ${className}`);
}
