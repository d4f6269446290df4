// A table that scrolls horizontally.

import { h } from "./dom.js";
import { scrollable } from "./scroll.js";

/** @typedef {{label: string, isNumber?: boolean}} Head */

/**
 * @param {Head[]|null} heads
 * @param {HTMLElement[]} rows
 */
export function table(heads, rows, className = "") {
  const head = (/** @type {Head} */ { label, isNumber }) => h("th", { class: isNumber ? "num" : null }, label);
  const content = h(
    "table",
    { class: `table ${className}` },
    heads && h("thead", {}, h("tr", {}, heads.map(head))),
    h("tbody", {}, rows),
  );
  return scrollable(h("div", { class: "table-scroll" }, content), content);
}
