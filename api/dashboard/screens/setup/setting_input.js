// The input of a setting that can be changed without a restart.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { textInput } from "../../ui/fields.js";
import { chooseFile } from "../../ui/file_dialog.js";
import { icon } from "../../ui/icons.js";
import { withBrowser } from "../../ui/path_input.js";

/** @typedef {{element: HTMLElement, value: () => API.RunTimeValue, focus: () => void}} Editor */

/**
 * @param {API.RunTimeSetting} setting @param {string} id of its input @param {API.RunTimeValue} [suggestion] in place of no value
 * @returns {Editor & {isChanged: () => boolean}}
 */
export function settingInput(setting, id, suggestion) {
  const isFixed = setting.fixed_by !== null;
  const first = normal(setting.value) ?? (isFixed ? null : (suggestion ?? null));
  const editor = setting.kind === "directories" ? directoriesInput(setting, id, first) : plainInput(setting, id, first);
  const stored = JSON.stringify(normal(setting.kind === "secret" ? null : setting.value));
  return { ...editor, isChanged: () => !isFixed && JSON.stringify(normal(editor.value())) !== stored };
}

/** No paths are no value. @param {API.RunTimeValue} value */
export const normal = (value) => (Array.isArray(value) && !value.length ? null : value);

/** @param {API.RunTimeSetting} setting @param {string} id @param {API.RunTimeValue} first @returns {Editor} */
function plainInput(setting, id, first) {
  const { kind, key, fixed_by: fixedBy } = setting;
  const isNumber = kind === "number" || kind === "whole_number";
  const isSecret = kind === "secret";
  const isSet = isSecret && setting.value !== null;
  const input = textInput({
    id,
    name: key,
    type: isSecret ? "password" : isNumber ? "number" : "text",
    step: kind === "whole_number" ? 1 : isNumber ? "any" : null,
    min: isNumber ? 0 : null,
    spellcheck: "false",
    autocomplete: isSecret ? "new-password" : "off",
    maxlength: 4096,
    disabled: fixedBy !== null,
    class: `input${kind === "directory" || kind === "file" ? " mono" : ""}`,
    placeholder: isSet ? t("setup.secret.set") : null,
    "aria-describedby": `${id}-about`,
  });
  if (!isSecret && first !== null) input.value = String(first);
  const element = (kind === "directory" || kind === "file") && !fixedBy ? withBrowser(input, kind) : input;
  return {
    element,
    value() {
      const text = input.value.trim();
      if (!text) return null;
      return isNumber ? Number(text) : text;
    },
    focus: () => input.focus(),
  };
}

/** @param {API.RunTimeSetting} setting @param {string} id @param {API.RunTimeValue} first @returns {Editor} */
function directoriesInput({ fixed_by: fixedBy }, id, first) {
  const paths = Array.isArray(first) ? [...first] : [];
  const list = h("ul.path-list");
  const add = h(
    "button.button.small",
    { type: "button", disabled: fixedBy !== null, on: { click: addOne } },
    icon("plus"),
    t("setup.folder.add"),
  );
  const typed = textInput({
    id,
    class: "input mono",
    spellcheck: "false",
    maxlength: 4096,
    placeholder: t("setup.folder.type"),
    "aria-describedby": `${id}-about`,
    disabled: fixedBy !== null,
  });

  async function addOne() {
    const path = await chooseFile("directory", paths.at(-1) ?? "");
    if (path !== null) append(path);
  }

  /** @param {string} path */
  function append(path) {
    if (path && !paths.includes(path)) paths.push(path);
    draw();
  }

  function draw() {
    fill(
      list,
      paths.map((path) =>
        h(
          "li",
          icon("folder"),
          h("code.grow.foreign", path),
          !fixedBy &&
            h(
              "button.button.small",
              { type: "button", "aria-label": t("setup.folder.remove", { path }), on: { click: () => remove(path) } },
              t("setup.remove"),
            ),
        ),
      ),
    );
  }

  /** @param {string} path */
  function remove(path) {
    paths.splice(paths.indexOf(path), 1);
    draw();
    add.focus();
  }

  const take = () => {
    append(typed.value.trim());
    typed.value = "";
  };
  typed.addEventListener("change", take);
  draw();
  return {
    element: h("div.stack.path-edit", list, h("div.path-line", typed, add)),
    value() {
      if (typed.value.trim()) take();
      return paths;
    },
    focus: () => add.focus(),
  };
}
