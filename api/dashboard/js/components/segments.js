// One of a few.

import { h, setAttribute, setText } from "../dom.js";

/**
 * @param {string} label
 * @param {{value: string, label: any}[]} choices
 * @param {string} chosen
 * @param {(value: string) => void} choose
 */
export function segments(label, choices, chosen, choose) {
  const counts = new Map();
  const buttons = choices.map((choice) => {
    const number = h("span", { class: "count" });
    counts.set(choice.value, number);
    return h(
      "button",
      { type: "button", data: { value: choice.value }, on: { click: () => select(choice.value, true) } },
      choice.label,
      number,
    );
  });
  const element = h("div", { class: "segments", role: "group", "aria-label": label }, buttons);
  function select(value, isChoice = false) {
    for (const button of buttons) setAttribute(button, "aria-pressed", String(button.dataset.value === value));
    if (isChoice) choose(value);
  }
  select(chosen);
  return { element, select, setCount: (value, text) => counts.has(value) && setText(counts.get(value), text) };
}
