// A field for a limit of a quota. Empty: unlimited.

import { h } from "../../ui/dom.js";
import { UNKNOWN } from "../../ui/format.js";

/** Limits that are whole numbers. */
const WHOLE = ["gpus", "queued_tasks"];

/** @param {typeof import("./own.js").BOUNDS[number]} name @param {string} label @param {number|null} value */
export function quotaInput(name, label, value) {
  return h("input.input.quota-input", {
    type: "number",
    min: 0,
    step: WHOLE.includes(name) ? 1 : "any",
    value,
    placeholder: UNKNOWN,
    "aria-label": label,
  });
}
