// An input for one key of the trainer, built from the service's description.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { selectInput, textInput } from "../../ui/fields.js";
import { withBrowser } from "../../ui/path_input.js";
import { keyLabel, keyOf, readValue, showValue } from "./draft.js";
import { formField } from "./fields.js";

/** The event by which a field asks for several values; `detail` has its pointer and path. */
export const VARY = "vary";

/** Settings of which people try several values most often. */
const TRIED = ["optimizer.lr", "adapter.rank"];

let lists = 0;

/**
 * @param {API.Setting} setting @param {import("./draft.js").Path} path @param {import("./draft.js").Draft} draft
 * @param {string} help help text in the page's language
 * @param {() => void} [written] called when the user has changed it
 */
export function settingField(setting, path, draft, help, written) {
  const { kind } = setting;
  const pointer = `/${path.join("/")}`;
  const input = inputOf(setting);
  const key = keyOf(path);
  const form = formField({
    name: path.join("-"),
    label: keyLabel(key),
    key,
    pointers: [pointer, pointer.replace(/^\/(config|dataset)\//, "/$1_toml/").replace("/directory/", "/directories/")],
    input,
    hint: [help, rangeText(setting), defaultText(setting)].filter(Boolean).join(" "),
    wide: setting.is_path || kind === "table",
  });
  form.element.classList.add("setting");
  if (TRIED.includes(key)) {
    const ask = () => form.element.dispatchEvent(new CustomEvent(VARY, { bubbles: true, detail: { pointer, path } }));
    const label = t("sweep.try.of", { name: keyLabel(key) });
    form.element.append(
      h("button.text-button.tiny", { type: "button", "aria-label": label, on: { click: ask } }, t("sweep.try")),
    );
  }
  if (setting.is_path && input instanceof HTMLInputElement) withBrowser(input, "any");
  const isSwitch = kind === "switch";
  const typed = () => {
    if (isSwitch) return isOn() === Boolean(setting.default) ? undefined : isOn();
    const text = input.value.trim();
    return text === "" ? undefined : readAs(setting, text);
  };
  const isOn = () => input instanceof HTMLInputElement && input.checked;
  const read = () => {
    const value = typed();
    const isWrong = value === WRONG;
    input.classList.toggle("wrong", isWrong);
    input.setCustomValidity(isWrong ? t("settings.wrong") : "");
    // Invalid values are sent as typed: the service reports what is expected.
    draft.set(path, isWrong ? input.value.trim() : value);
    written?.();
  };
  input.addEventListener("change", read);
  input.addEventListener("input", () => {
    const value = typed();
    // Half of a value is not an error yet.
    if (value !== WRONG) draft.set(path, value);
  });
  return {
    ...form,
    setting,
    /** Shows the value of the request. */
    update() {
      const value = draft.get(path);
      if (isSwitch && input instanceof HTMLInputElement) {
        input.checked = Boolean(value ?? setting.default);
        return;
      }
      const shown = showValue(value);
      if (input instanceof HTMLSelectElement && shown && ![...input.options].some((each) => each.value === shown))
        input.append(h("option", { value: shown }, shown));
      input.value = shown;
      input.classList.remove("wrong");
    },
  };
}

const WRONG = Symbol("wrong");

/** @param {API.Setting} setting */
function inputOf({ kind, options, is_open: isOpen, name }) {
  if (kind === "switch") return h("input.switch", { type: "checkbox", role: "switch" });
  /** @type {[string, string]} */
  const left = ["", t("settings.left")];
  if (options.length && (!isOpen || kind === "value"))
    return selectInput([
      left,
      ...options.map((each) => /** @type {[string, string]} */ ([showValue(each), showValue(each)])),
    ]);
  if (options.length) {
    lists += 1;
    const id = `options-${name}-${lists}`;
    const input = textInput({ list: id, spellcheck: "false" });
    // Datalists are found by id, so a duplicate must be removed.
    document.getElementById(id)?.remove();
    queueMicrotask(() =>
      input.after(
        h(
          "datalist",
          { id },
          options.map((value) => h("option", { value: showValue(value) })),
        ),
      ),
    );
    return input;
  }
  const isNumber = kind === "whole" || kind === "number";
  return textInput({
    inputmode: isNumber ? "decimal" : null,
    spellcheck: "false",
    class: `input${kind === "text" && !isNumber ? "" : " mono"}`,
  });
}

/** @param {API.Setting} setting @param {string} text */
function readAs({ kind, options }, text) {
  if (kind === "text") return text;
  if (kind === "value" && options.some((each) => each === text)) return text;
  if (kind === "whole" || kind === "number") {
    const number = Number(text.replaceAll("_", ""));
    return Number.isFinite(number) ? number : WRONG;
  }
  try {
    const value = readValue(text);
    return kind === "list" && !Array.isArray(value) ? WRONG : value;
  } catch {
    return WRONG;
  }
}

/** @param {API.Setting} setting */
function rangeText({ kind, least, above, most }) {
  if (kind !== "whole" && kind !== "number") return "";
  // Very large upper limits are not helpful.
  const top = most !== null && most < 1e6 ? most : null;
  if (least !== null && top !== null) return `(${t("settings.range", { least, most: top })})`;
  const limits = [
    least !== null && t("settings.least", { least }),
    above !== null && t("settings.above", { above }),
    top !== null && t("settings.most", { most: top }),
  ].filter(Boolean);
  return limits.length ? `(${limits.join(", ")})` : "";
}

/** @param {API.Setting} setting */
const defaultText = ({ default: value }) =>
  value === null || value === undefined
    ? ""
    : `· ${t("settings.default", { value: typeof value === "boolean" ? t(value ? "setting.on" : "setting.off") : showValue(value) })}`;
