// Fields of the forms of alerts.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { selectInput } from "../../ui/fields.js";

/** @param {string} id @param {string} label @param {boolean} checked */
export function checkField(id, label, checked) {
  const input = h("input", { type: "checkbox", id, checked });
  return { element: h("label.check", input, label), input };
}

/**
 * A select of durations, including the current one.
 * @param {string} id @param {readonly (number|null)[]} choices in seconds; null: never @param {number|null} chosen @param {{zero?: string, never?: string}} labels
 */
export function lastingField(id, choices, chosen, { zero, never }) {
  const all = choices.includes(chosen) ? choices : [...choices, chosen];
  const shown = (/** @type {number|null} */ value) =>
    (value === null ? never : value === 0 ? zero : null) ?? durationText(/** @type {number} */ (value));
  const labelled = all.map((value) => /** @type {const} */ ([String(value), shown(value)]));
  const input = selectInput(labelled, { id }, String(chosen));
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
