// A text area for a TOML file with line numbers and findings.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { findingItem, placeFindings } from "./findings.js";
import { lineInMessage, lineOf } from "./toml.js";

/**
 * @param {"config"|"dataset"} name @param {string} label @param {string} placeholder
 * @param {() => void} changed
 */
export function tomlEditor(name, label, placeholder, changed) {
  const gutter = h("div.gutter", { "aria-hidden": "true" });
  const area = h("textarea", {
    id: `${name}_toml`,
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    wrap: "off",
    placeholder,
    rows: 14,
  });
  const list = h("ul.findings");
  const file = h("input", {
    type: "file",
    accept: ".toml,text/plain",
    class: "visually-hidden",
    "aria-label": t("file.open", { name: label }),
  });
  const element = h(
    "div.field.editor-field",
    h(
      "div.editor-head",
      h("label", { for: `${name}_toml` }, label),
      h("label.text-button.file-button", t("file.choose"), file),
    ),
    h("div.editor", gutter, area),
    list,
  );
  const isInside = new RegExp(`^/${name}(?:_toml)?(/|$)`);
  /** The highest severity of each line. @type {Map<number, "error"|"warning">} */
  let marked = new Map();

  function number() {
    const lines = area.value.split("\n").length;
    fill(
      gutter,
      Array.from({ length: lines }, (_, i) => h("span", { class: marked.get(i + 1) ?? "" }, i + 1)),
    );
    gutter.scrollTop = area.scrollTop;
  }

  /** @param {string} text */
  function take(text) {
    area.value = text;
    number();
    changed();
  }

  area.addEventListener("input", () => {
    number();
    changed();
  });
  area.addEventListener("scroll", () => {
    gutter.scrollTop = area.scrollTop;
  });
  file.addEventListener("change", async () => {
    const chosen = file.files?.[0];
    if (chosen) take(await chosen.text());
  });
  element.addEventListener("dragover", (event) => event.preventDefault());
  element.addEventListener("drop", async (event) => {
    event.preventDefault();
    const dropped = event.dataTransfer?.files[0];
    if (dropped) take(await dropped.text());
  });

  /** @param {number} line */
  function goTo(line) {
    const lines = area.value.split("\n");
    const from = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    area.focus();
    area.setSelectionRange(from, from + (lines[line - 1] ?? "").length);
    area.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(area).lineHeight));
  }

  number();
  return {
    element,
    get value() {
      return area.value;
    },
    set value(text) {
      area.value = text;
      number();
    },
    /** Shows the findings of this file and returns them. @param {SeverityFinding[]} findings */
    show(findings) {
      marked = new Map();
      // A structured request is shown as text, too.
      const own = findings.filter(({ pointer }) => isInside.test(pointer));
      const items = own.map((finding) => {
        const inside = finding.pointer.replace(isInside, "$1");
        const line = inside ? lineOf(area.value, inside) : lineInMessage(finding.message);
        if (line && marked.get(line) !== "error") marked.set(line, finding.severity);
        return findingItem(finding, inside, line, () => line && goTo(line));
      });
      fill(list, items);
      number();
      return placeFindings(own, area);
    },
  };
}
