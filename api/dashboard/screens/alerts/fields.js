// Fields of the forms of alerts.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";

/** @param {string} label @param {HTMLElement} input must have an id @param {string} [hint] */
export const field = (label, input, hint, className = "") =>
  h(
    "div",
    { class: `field ${className}` },
    h("label", { for: input.id }, label),
    input,
    hint && h("p", { class: "faint tiny" }, hint),
  );

/** @param {string} id @param {string} label @param {boolean} checked */
export function checkField(id, label, checked) {
  const input = h("input", { type: "checkbox", id, checked });
  return { element: h("label", { class: "check" }, input, label), input };
}

/**
 * A select of durations, including the current one.
 * @param {string} id @param {readonly (number|null)[]} choices in seconds; null: never @param {number|null} chosen @param {{zero?: string, never?: string}} labels
 */
export function lastingField(id, choices, chosen, { zero, never }) {
  const all = choices.includes(chosen) ? choices : [...choices, chosen];
  const shown = (/** @type {number|null} */ value) =>
    (value === null ? never : value === 0 ? zero : null) ?? durationText(/** @type {number} */ (value));
  const input = h(
    "select",
    { class: "input", id },
    all.map((value) => h("option", { value: String(value), selected: value === chosen }, shown(value))),
  );
  return { input, value: () => (input.value === "null" ? null : Number(input.value)) };
}

const UNITS = /** @type {const} */ ([
  [86_400, "unit.d"],
  [3600, "unit.h"],
  [60, "unit.min"],
]);

/** A duration in the largest unit that divides it: 4 h, 90 s. @param {number} seconds */
export function durationText(seconds) {
  const [size, unit] = UNITS.find(([each]) => seconds && seconds % each === 0) ?? [1, "unit.s"];
  return `${seconds / size} ${t(unit)}`;
}

/** @param {string} id @param {[value: string, label: string][]} options @param {string} [chosen] */
export const choiceField = (id, options, chosen) =>
  h(
    "select",
    { class: "input", id },
    options.map(([value, label]) => h("option", { value, selected: value === chosen }, label)),
  );
