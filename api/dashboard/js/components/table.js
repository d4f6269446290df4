// A table that can be scrolled to the side.

import { h } from "../dom.js";

/**
 * @param {{label: string, isNumber?: boolean}[]|null} heads
 * @param {HTMLElement[]} rows
 */
export function table(heads, rows, className = "") {
  const head = ({ label, isNumber }) => h("th", { class: isNumber ? "num" : null }, label);
  return h(
    "div",
    { class: "table-scroll" },
    h(
      "table",
      { class: `table ${className}` },
      heads && h("thead", {}, h("tr", {}, heads.map(head))),
      h("tbody", {}, rows),
    ),
  );
}
