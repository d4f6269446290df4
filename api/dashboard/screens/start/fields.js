// A form field with its findings.

import { fill, h } from "../../ui/dom.js";
import { findingItem } from "./findings.js";

/**
 * @template {HTMLElement} Input
 * @param {{name: string, label: string, pointers: string[], input: Input, hint?: string, wide?: boolean}} field
 */
export function formField({ name, label, pointers, input, hint, wide }) {
  input.id = `field-${name}`;
  const list = h("ul", { class: "findings" });
  const element = h(
    "div",
    { class: `field ${wide ? "wide" : ""}` },
    h("label", { for: input.id }, label),
    input,
    hint && h("p", { class: "faint tiny" }, hint),
    list,
  );
  return {
    element,
    input,
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const own = findings.filter(({ pointer }) =>
        pointers.some((mine) => pointer === mine || pointer.startsWith(`${mine}/`)),
      );
      input.classList.toggle(
        "wrong",
        own.some(({ severity }) => severity === "error"),
      );
      fill(
        list,
        own.map((finding) => findingItem(finding, "", null)),
      );
      return own;
    },
  };
}

/** @param {Properties} attributes */
export const textInput = (attributes) =>
  h("input", { class: "input", type: "text", autocomplete: "off", ...attributes });
/** @param {Properties} attributes */
export const numberInput = (attributes) =>
  h("input", { class: "input", type: "number", inputmode: "decimal", step: "any", ...attributes });
/** @param {[value: string, label: string][]} options @param {Properties} [attributes] */
export const selectInput = (options, attributes) =>
  h(
    "select",
    { class: "input", ...attributes },
    options.map(([value, label]) => h("option", { value }, label)),
  );
