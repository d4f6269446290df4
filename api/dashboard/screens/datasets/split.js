// Items move into another dataset, which is made where none has the name.

import { data, newKey } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { refusalWords } from "../../app/refusal.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { note } from "../../ui/status.js";
import { NAME } from "./dialogs.js";

const SUGGESTED = 100;

/**
 * Asks where items go, and moves them.
 * @param {string} name of the dataset @param {number} version the newest @param {readonly string[]} ids
 * @returns {Promise<API.DatasetSplit|null>} null: nothing was done
 */
export function askForSplit(name, version, ids) {
  return new Promise((resolve) => {
    /** @type {API.DatasetSplit|null} */
    let made = null;
    const title = t("split.title", { n: count(ids.length) });
    const dialog = openDialog(title, (close) => {
      const known = h("datalist", { id: "split-known" });
      const into = h("input", {
        class: "input",
        id: "split-into",
        required: true,
        pattern: NAME,
        maxlength: 100,
        autocomplete: "off",
        autofocus: true,
        list: "split-known",
        title: t("data.name.form"),
      });
      const problem = h("div", { "aria-live": "assertive" });
      const save = h("button", { class: "button primary", type: "submit" }, t("split.do"));
      const submit = async (/** @type {Event} */ event) => {
        event.preventDefault();
        save.disabled = true;
        try {
          made = await data.split(name, { items: [...ids], into: into.value.trim(), version }, newKey());
          close();
        } catch (error) {
          fill(problem, note("bad", h("p", { class: "foreign" }, refusalWords(error))));
        } finally {
          save.disabled = false;
        }
      };
      suggest(name, known);
      return h(
        "form",
        { class: "inside", on: { submit } },
        h("h2", {}, title),
        h("p", { class: "soft small" }, t("split.text")),
        h("div", { class: "field" }, h("label", { for: "split-into" }, t("split.into")), into, known),
        problem,
        h(
          "div",
          { class: "choices" },
          h("button", { class: "button", type: "button", on: { click: close } }, t("cancel")),
          save,
        ),
      );
    });
    dialog.addEventListener("close", () => resolve(made));
  });
}

/** Names of datasets that items can go into. @param {string} name of this one @param {HTMLElement} list */
async function suggest(name, list) {
  const found = await data.list({ limit: SUGGESTED }).catch(() => null);
  const others = found?.datasets.filter((each) => each.name !== name && !each.directory) ?? [];
  fill(
    list,
    others.map((each) => h("option", { value: each.name })),
  );
}
