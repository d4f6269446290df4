// A search field that searches after a pause in typing; `/` focuses it.

import { h } from "./dom.js";
import { icon } from "./icons.js";

const PAUSE_MS = 200;

/**
 * @param {string} label @param {string} value @param {(text: string) => void} search called with its text
 */
export function searchField(label, value, search) {
  const input = h("input.input", {
    type: "search",
    value,
    placeholder: label,
    "aria-label": label,
    maxlength: 200,
    data: { search: "" },
  });
  let typing = 0;
  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => search(input.value.trim()), PAUSE_MS);
  });
  return {
    element: h("div.search", icon("search"), input, h("kbd.only-wide", "/")),
    input,
    /** Cancels a pending search. */
    close: () => clearTimeout(typing),
  };
}
