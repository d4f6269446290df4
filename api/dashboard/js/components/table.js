// A table that can be scrolled to the side.

import { h } from "../dom.js";
import { scrollable } from "./scroll.js";

/**
 * @param {{label: string, isNumber?: boolean}[]|null} heads
 * @param {HTMLElement[]} rows
 */
export function table(heads, rows, className = "") {
  const head = ({ label, isNumber }) => h("th", { class: isNumber ? "num" : null }, label);
  const content = h(
    "table",
    { class: `table ${className}` },
    heads && h("thead", {}, h("tr", {}, heads.map(head))),
    h("tbody", {}, rows),
  );
  return scrollable(h("div", { class: "table-scroll" }, content), content);
}
