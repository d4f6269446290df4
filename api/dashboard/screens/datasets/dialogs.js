// Dialogs to create, change or delete a dataset.

import { api, Refused } from "../../app/api.js";
import { data, newKey } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { guarded } from "../../ui/buttons.js";
import { askSure, askWhich } from "../../ui/dialog.js";
import { h } from "../../ui/dom.js";
import { field, splitTags } from "../../ui/fields.js";
import { askForm } from "../../ui/form_dialog.js";
import { withBrowser } from "../../ui/path_input.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";

/** Pattern of dataset names that the service accepts. */
export const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,99}";
const MAX_TASKS = 20;

/** @typedef {Pick<API.Dataset, "name"|"description"|"tags">} Fields */

/**
 * Opens the form of a new or existing dataset.
 * @param {API.Dataset|null} dataset null: a new one
 * @param {string} [name] initial name
 * @param {boolean} [hasFiles] whether files are waiting for it, so that it is no directory on the server
 * @returns {Promise<API.Dataset|null>} the saved dataset; null: cancelled
 */
export function askForDataset(dataset, name = "", hasFiles = false) {
  const form = fields(dataset ?? { name, description: null, tags: [] }, dataset === null && !hasFiles);
  const key = newKey();
  return askForm({
    title: t(dataset ? "data.change.title" : "data.new"),
    content: form.element,
    action: t(dataset ? "save" : "data.new.do"),
    run: () => (dataset ? data.change(dataset.name, form.value()) : data.make(form.value(), key)),
  });
}

/** A dataset name from that of a folder or archive. @param {string} folder */
export const nameFrom = (folder) =>
  folder
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+|-+$/g, "")
    .slice(0, 100);

/** @param {Fields} begin @param {boolean} mayBeDirectory */
function fields(begin, mayBeDirectory) {
  const name = h("input.input", {
    id: "dataset-name",
    required: true,
    pattern: NAME,
    maxlength: 100,
    autocomplete: "off",
    autofocus: true,
    value: begin.name,
    title: t("data.name.form"),
    "aria-describedby": "dataset-name-hint",
  });
  const description = h("textarea.input", { id: "dataset-description", rows: 3, maxlength: 4000 });
  description.value = begin.description ?? "";
  const tags = h("input.input", {
    id: "dataset-tags",
    autocomplete: "off",
    value: begin.tags.join(", "),
    placeholder: t("data.tags.hint"),
  });
  const directory = h("input.input", {
    id: "dataset-directory",
    autocomplete: "off",
    maxlength: 4096,
    placeholder: t("optional"),
    "aria-describedby": "dataset-directory-hint",
  });
  directory.addEventListener("change", () => {
    name.value ||= nameFrom(directory.value.trim().split("/").filter(Boolean).at(-1) ?? "");
  });
  return {
    element: h(
      "div.stack",
      mayBeDirectory && field(t("data.directory"), withBrowser(directory, "directory"), t("data.directory.hint")),
      field(t("name"), name, t("data.name.form")),
      field(t("description"), description),
      field(t("data.tags"), tags),
    ),
    value: () => ({
      name: name.value.trim(),
      description: description.value.trim() || null,
      tags: splitTags(tags.value),
      ...(directory.value.trim() ? { directory: directory.value.trim() } : {}),
    }),
  };
}

/**
 * Deletes a dataset after confirmation; lists the tasks that use it.
 * @param {API.Dataset} dataset
 * @returns {Promise<boolean>} whether it was deleted
 */
async function deleteDataset(dataset) {
  const { used_by: users } = await data.get(dataset.name);
  const isSure = await askSure({
    title: t("data.delete.title"),
    text: [
      h("p", h("strong.foreign", dataset.name)),
      h("p", t(dataset.directory ? "data.delete.registered" : "data.delete.text")),
      users.length > 0 && note("warn", h("p", t("data.used")), await userList(users)),
    ],
    action: t("data.delete.do"),
  });
  if (!isSure) return false;
  try {
    const removed = await data.remove(dataset.name);
    toast("ok", t(removed.kept_for.length ? "data.deleted.files" : "data.deleted"));
    return true;
  } catch (error) {
    if (!(error instanceof Refused && error.code === "dataset_in_use")) throw error;
    await showUsers(dataset, error);
    return false;
  }
}

/** @param {API.Dataset} dataset @param {Refused} refused */
async function showUsers(dataset, refused) {
  const { tasks } = /** @type {{tasks?: string[]}} */ (refused.data ?? {});
  await askWhich({
    title: t("data.in_use.title"),
    text: [h("p", h("strong.foreign", dataset.name)), h("p", t("data.in_use.text")), tasks && (await userList(tasks))],
    choices: [],
  });
}

/** Links to tasks, with their names if available. @param {readonly string[]} ids */
async function userList(ids) {
  const shown = ids.slice(0, MAX_TASKS);
  const named = await Promise.all(shown.map((id) => api.task(id).catch(() => null)));
  return h(
    "ul",
    shown.map((id, i) => h("li", h("a.foreign", { href: taskAddress(id) }, named[i]?.name ?? id))),
    ids.length > shown.length && h("li", t("more", { n: ids.length - shown.length })),
  );
}

/** Actions on a dataset, for its menu. @param {API.Dataset} dataset @param {string|null} denied @param {(now: API.Dataset|null) => unknown} changed
 * @returns {import("../../ui/menu.js").Choice[]} */
export function datasetChoices(dataset, denied, changed) {
  const change = async () => {
    const now = await askForDataset(dataset);
    if (now) changed(now);
  };
  const remove = async () => {
    if (await deleteDataset(dataset)) changed(null);
  };
  return [
    { label: t("data.change"), icon: "pen", denied, run: guarded(denied, change) },
    { label: t("data.delete"), icon: "trash", danger: true, denied, run: guarded(denied, remove) },
  ];
}
