// Moves items into another dataset, which is created if needed.

import { data, newKey } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { field, suggestions } from "../../ui/fields.js";
import { askForm } from "../../ui/form_dialog.js";
import { count } from "../../ui/format.js";
import { NAME } from "./dialogs.js";

const SUGGESTED = 100;

/**
 * Opens the dialog and moves the items.
 * @param {string} name of the dataset @param {number} version the newest @param {readonly string[]} ids
 * @returns {Promise<API.DatasetSplit|null>} null: cancelled
 */
export function askForSplit(name, version, ids) {
  const known = h("datalist", { id: "split-known" });
  const into = h("input.input", {
    id: "split-into",
    required: true,
    pattern: NAME,
    maxlength: 100,
    autocomplete: "off",
    autofocus: true,
    list: "split-known",
    title: t("data.name.form"),
  });
  suggest(name, known);
  return askForm({
    title: t("split.title", { n: count(ids.length) }),
    content: [h("p.soft.small", t("split.text")), field(t("split.into"), into, known)],
    action: t("split.do"),
    run: () => data.split(name, { items: [...ids], into: into.value.trim(), version }, newKey()),
  });
}

/** Suggests datasets as targets. @param {string} name of this dataset @param {HTMLElement} list */
async function suggest(name, list) {
  const found = await data.list({ limit: SUGGESTED }).catch(() => null);
  const others = found?.datasets.filter((each) => each.name !== name && !each.directory) ?? [];
  fill(list, suggestions(others.map((each) => each.name)));
}
