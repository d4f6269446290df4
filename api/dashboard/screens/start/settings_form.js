// All keys of the trainer as a form: common ones first, others below by table.

import { labelFor, language, t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { moreKeys } from "./more_keys.js";
import { settingField } from "./setting_field.js";

/** @typedef {ReturnType<typeof settingField>} SettingField */

/**
 * Chinese descriptions of keys; the English ones come from the service.
 * @type {{settings: Record<string, string>, paths: Record<string, string>}}
 */
const chinese = language === "zh" ? await import("../../locales/zh_settings.js") : { settings: {}, paths: {} };

/** @param {API.SettingTable} table @param {API.Setting} setting */
export const helpOf = ({ name, file }, setting) =>
  chinese.settings[`${name || file}.${setting.name}`] ??
  chinese.settings[setting.name] ??
  chinese.paths[setting.help] ??
  setting.help;

/** The path of a table in a request. @param {API.SettingTable} table @returns {string[]} */
const placeOf = ({ name, file }) => (name ? [file, name] : [file]);

/**
 * Keys that are elsewhere in the form, such as the model type.
 * @param {API.SettingTable} table @param {API.Setting} setting
 */
const isElsewhere = ({ name }, setting) => name === "model" && (setting.name === "type" || setting.is_path);

/**
 * @param {API.ModelSettings} settings @param {import("./draft.js").Draft} draft
 */
export function settingsForm(settings, draft) {
  const tables = settings.tables.filter(({ file }) => file === "config");
  /** @type {SettingField[]} */
  let fields = [];
  const parts = tables.map((table) => ({ table, more: moreKeys(placeOf(table), table, draft) }));
  const common = h("div.form-grid");
  const rest = h("div.stack");
  const search = h("input.input", {
    type: "search",
    placeholder: t("settings.search"),
    "aria-label": t("settings.search"),
    on: { change: (event) => event.stopPropagation() },
  });
  search.addEventListener("input", (event) => {
    event.stopPropagation();
    filter();
  });
  const adapter = h("input", { type: "checkbox", id: "has-adapter" });
  adapter.addEventListener("change", () => {
    draft.set(["config", "adapter"], adapter.checked ? { type: "lora", rank: 32, dtype: "bfloat16" } : undefined);
    draw();
  });
  const all = h(
    "details.all-settings",
    h("summary", t("settings.all")),
    h("div.stack", h("p.small.soft", t("settings.text")), search, rest),
  );

  /** Whether the current request uses a key. @param {API.SettingTable} table @param {API.Setting} setting */
  function isRead({ name }, { only_for: takers, name: key }) {
    if (name === "adapter") return adapter.checked;
    if (!takers) return true;
    const type = String(draft.get(["config", "optimizer", "type"]) ?? "").toLowerCase();
    const isSet = draft.get(["config", "optimizer", key]) !== undefined;
    return isSet || takers.includes(type);
  }

  /** @param {API.SettingTable} table @param {API.Setting} setting */
  function field(table, setting) {
    const isType = table.name === "optimizer" && setting.name === "type";
    const made = settingField(
      setting,
      [...placeOf(table), setting.name],
      draft,
      helpOf(table, setting),
      isType ? draw : undefined,
    );
    made.update();
    fields.push(made);
    return made;
  }

  function draw() {
    const focused = document.activeElement?.id;
    adapter.checked = draft.get(["config", "adapter"]) !== undefined;
    fields = [];
    const shown = tables.map((table) => ({
      table,
      settings: table.settings.filter((each) => !isElsewhere(table, each) && isRead(table, each)),
    }));
    const ofAll = (/** @type {boolean} */ isCommon) =>
      shown.flatMap(({ table, settings: own }) =>
        own.filter((each) => each.is_common === isCommon).map((each) => field(table, each).element),
      );
    fill(common, ofAll(true));
    fill(
      rest,
      shown.map(({ table, settings: own }) =>
        section(
          table,
          own.filter((each) => !each.is_common),
        ),
      ),
    );
    filter();
    if (focused) document.getElementById(focused)?.focus();
  }

  /** @param {API.SettingTable} table @param {API.Setting[]} settings */
  function section(table, settings) {
    const groups = [...new Set(settings.map(({ group }) => group))];
    const more = parts.find((each) => each.table === table)?.more;
    more?.update();
    if (!settings.length && !more?.element.childElementCount) return null;
    return h(
      "section.setting-table",
      h("h3", labelFor("table", table.name ? `${table.file}.${table.name}` : table.file)),
      groups.map((group) =>
        h(
          "div.setting-group",
          groups.length > 1 && h("h4", labelFor("group", group)),
          h(
            "div.form-grid",
            settings.filter((each) => each.group === group).map((each) => field(table, each).element),
          ),
        ),
      ),
      more?.element,
    );
  }

  function filter() {
    const plain = (/** @type {string} */ words) => words.toLowerCase().replaceAll("_", " ");
    const text = plain(search.value.trim());
    for (const each of rest.querySelectorAll(".setting")) {
      if (each instanceof HTMLElement) each.hidden = !plain(each.textContent ?? "").includes(text);
    }
    for (const each of rest.querySelectorAll(".setting-group, .setting-table")) {
      if (each instanceof HTMLElement) each.hidden = Boolean(text) && !each.querySelector(".setting:not([hidden])");
    }
  }

  draw();
  return {
    element: h("div.stack", h("label.check", { for: "has-adapter" }, adapter, t("settings.adapter")), common, all),
    update: draw,
    /** @param {SeverityFinding[]} findings */
    show: (findings) => [
      ...fields.flatMap((each) => each.show(findings)),
      ...parts.flatMap(({ more }) => more.show(findings)),
    ],
  };
}
