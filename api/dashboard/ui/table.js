// A table that scrolls horizontally.

import { t } from "../app/i18n.js";
import { h } from "./dom.js";
import { scrollable } from "./scroll.js";

/** The texts of headings. @param {...WordKey} keys */
export const headings = (...keys) => keys.map((key) => t(key));

/**
 * The headings of numbers are aligned as the cells of the first row.
 * @param {readonly string[]|null} heads
 * @param {HTMLElement[]} rows
 */
export function table(heads, rows, className = "") {
  const head = (/** @type {string} */ label, /** @type {number} */ i) =>
    h("th", { class: rows[0]?.children[i]?.classList.contains("num") ? "num" : null }, label);
  const content = h(
    "table",
    { class: `table ${className}` },
    heads && h("thead", h("tr", heads.map(head))),
    h("tbody", rows),
  );
  return scrollable(h("div.table-scroll", content), content);
}
