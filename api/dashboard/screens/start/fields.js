// A form field with its findings.

import { fill, h } from "../../ui/dom.js";
import { findingItem, placeFindings } from "./findings.js";

/**
 * @template {HTMLElement} Input
 * `key` is the trainer's name of it.
 * @param {{name: string, label: string, pointers: string[], input: Input, hint?: string, wide?: boolean, key?: string}} field
 */
export function formField({ name, label, pointers, input, hint, wide, key }) {
  input.id = `field-${name}`;
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
  const list = h("ul.findings");
  const element = h(
    "div",
    { class: `field ${wide ? "wide" : ""}` },
    h("div.label-line", h("label", { for: input.id }, label), key && h("code.faint.tiny", key)),
    input,
    hint && h("p.faint.tiny", { id: `${input.id}-hint` }, hint),
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
      return placeFindings(own, input);
    },
  };
}
