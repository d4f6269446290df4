// Keys that are not in the form, such as arguments of optimizers and pasted keys.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { textInput } from "../../ui/fields.js";
import { icon } from "../../ui/icons.js";
import { readValue, showValue } from "./draft.js";
import { formField } from "./fields.js";

/** Tables at the top level. */
const TABLES = [
  "model",
  "adapter",
  "optimizer",
  "monitoring",
  "directory",
  "directories",
  "eval",
  "save",
  "optimization",
];

/**
 * @param {readonly string[]} place @param {API.SettingTable} table @param {import("./draft.js").Draft} draft
 */
export function moreKeys(place, table, draft) {
  const known = new Set(table.settings.map(({ name }) => name));
  const element = h("div.more-keys");
  /** @type {ReturnType<typeof formField>[]} */
  let fields = [];

  const extra = () =>
    Object.keys(draft.get(place) ?? {}).filter(
      (name) => !known.has(name) && !(place.length === 1 && TABLES.includes(name)),
    );

  /** @param {string} name */
  function row(name) {
    const path = [...place, name];
    const input = textInput({ class: "input mono", spellcheck: "false", value: showValue(draft.get(path)) });
    input.addEventListener("change", () => draft.set(path, read(input.value)));
    const pointer = `/${path.join("/")}`;
    const field = formField({ name: path.join("-"), label: name, pointers: [pointer], input });
    fields.push(field);
    const label = t("extra.remove", { name });
    const drop = () => {
      draft.set(path, undefined);
      update();
    };
    return h(
      "div.more-key",
      field.element,
      h("button.button.small", { type: "button", "aria-label": label, title: label, on: { click: drop } }, t("remove")),
    );
  }

  function adder() {
    const id = `more-${place.join("-")}`;
    const [name, value] = [
      textInput({ class: "input mono", spellcheck: "false", id, placeholder: t("settings.more.name") }),
      textInput({
        class: "input mono",
        spellcheck: "false",
        placeholder: t("settings.value"),
        "aria-label": t("settings.value"),
      }),
    ];
    const add = () => {
      if (!/^[A-Za-z0-9_-]+$/.test(name.value.trim())) return name.focus();
      draft.set([...place, name.value.trim()], read(value.value));
      update();
    };
    const quiet = (/** @type {Event} */ event) => event.stopPropagation();
    return h(
      "div.field",
      { on: { input: quiet, change: quiet } },
      h("label", { for: id }, t("settings.more")),
      h(
        "div.examine-line",
        name,
        value,
        h("button.button", { type: "button", on: { click: add } }, icon("plus"), t("settings.add")),
      ),
    );
  }

  function update() {
    fields = [];
    fill(element, extra().map(row), table.is_open && adder());
  }
  return {
    element,
    update,
    /** @param {SeverityFinding[]} findings */
    show: (findings) => fields.flatMap((field) => field.show(findings)),
  };
}

/** Invalid values are sent as text. @param {string} text */
function read(text) {
  try {
    return readValue(text);
  } catch {
    return text;
  }
}
