// A segmented control: one choice of a few.

import { h, setAttribute } from "./dom.js";

/**
 * @template {string} Value
 * @param {string} label
 * @param {readonly {value: Value, label: Child}[]} choices
 * @param {Value|""} chosen
 * @param {(value: Value) => void} choose
 */
export function segments(label, choices, chosen, choose) {
  const buttons = choices.map((choice) =>
    h(
      "button",
      { type: "button", data: { value: choice.value }, on: { click: () => pick(choice.value) } },
      choice.label,
    ),
  );
  const element = h("div.segments", { role: "group", "aria-label": label }, buttons);
  /** @param {Value|""} value */
  function select(value) {
    for (const button of buttons) setAttribute(button, "aria-pressed", String(button.dataset.value === value));
  }
  /** @param {Value} value */
  function pick(value) {
    select(value);
    choose(value);
  }
  select(chosen);
  return { element, buttons, select };
}
