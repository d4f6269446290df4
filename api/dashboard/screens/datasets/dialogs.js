// What is asked before a dataset is made, changed or deleted.

import { api, Refused } from "../../app/api.js";
import { data, newKey } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { refusalWords } from "../../app/refusal.js";
import { taskAddress } from "../../app/router.js";
import { askWhich, openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { note } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";

/** Names of datasets, as the service takes them. */
export const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,99}";
const MOST_TASKS = 20;

/** @typedef {Pick<API.Dataset, "name"|"description"|"tags">} Fields */

/**
 * Asks for a new dataset, or for what is to be changed of one.
 * @param {API.Dataset|null} dataset null: a new one
 * @param {string} [name] to begin with
 * @returns {Promise<API.Dataset|null>} as it is then; null when nothing was done
 */
export function askForDataset(dataset, name = "") {
  return new Promise((resolve) => {
    /** @type {API.Dataset|null} */
    let made = null;
    const title = t(dataset ? "data.change.title" : "data.new");
    const begin = dataset ?? { name, description: null, tags: [] };
    const dialog = openDialog(title, (close) => {
      const form = fields(begin, dataset === null);
      const problem = h("div", { "aria-live": "assertive" });
      const key = newKey();
      const save = h("button", { class: "button primary", type: "submit" }, t(dataset ? "save" : "data.new.do"));
      const submit = async (/** @type {Event} */ event) => {
        event.preventDefault();
        save.disabled = true;
        try {
          made = dataset ? await data.change(dataset.name, form.value()) : await data.make(form.value(), key);
          close();
        } catch (error) {
          fill(problem, note("bad", h("p", { class: "foreign" }, refusalWords(error))));
        } finally {
          save.disabled = false;
        }
      };
      return h(
        "form",
        { class: "inside", on: { submit } },
        h("h2", {}, title),
        form.element,
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

/** @param {Fields} begin @param {boolean} isNew */
function fields(begin, isNew) {
  const name = h("input", {
    class: "input",
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
  const description = h("textarea", { class: "input", id: "dataset-description", rows: 3, maxlength: 4000 });
  description.value = begin.description ?? "";
  const tags = h("input", {
    class: "input",
    id: "dataset-tags",
    autocomplete: "off",
    value: begin.tags.join(", "),
    placeholder: t("data.tags.hint"),
  });
  const directory = h("input", {
    class: "input",
    id: "dataset-directory",
    autocomplete: "off",
    maxlength: 4096,
    placeholder: t("optional"),
    "aria-describedby": "dataset-directory-hint",
  });
  const hint = h("p", { class: "faint tiny", id: "dataset-directory-hint" }, t("data.directory.hint"));
  return {
    element: h(
      "div",
      { class: "stack" },
      field(
        "dataset-name",
        t("name"),
        name,
        h("p", { class: "faint tiny", id: "dataset-name-hint" }, t("data.name.form")),
      ),
      field("dataset-description", t("description"), description),
      field("dataset-tags", t("data.tags"), tags),
      isNew && field("dataset-directory", t("data.directory"), directory, hint),
    ),
    value: () => ({
      name: name.value.trim(),
      description: description.value.trim() || null,
      tags: splitTags(tags.value),
      ...(directory.value.trim() ? { directory: directory.value.trim() } : {}),
    }),
  };
}

/** @param {string} id @param {string} label @param {...Child} content */
const field = (id, label, ...content) => h("div", { class: "field" }, h("label", { for: id }, label), content);

/** @param {string} text */
const splitTags = (text) => [...new Set(text.split(/[,，]/).map((tag) => tag.trim()))].filter(Boolean);

/**
 * Deletes a dataset when that is confirmed; says who uses it.
 * @param {API.Dataset} dataset
 * @returns {Promise<boolean>} whether it is gone
 */
export async function deleteDataset(dataset) {
  const { used_by: users } = await data.get(dataset.name);
  const choice = await askWhich({
    title: t("data.delete.title"),
    text: [
      h("p", {}, h("strong", { class: "foreign" }, dataset.name)),
      h("p", {}, t(dataset.directory ? "data.delete.registered" : "data.delete.text")),
      users.length > 0 && note("warn", h("p", {}, t("data.used")), await userList(users)),
    ],
    choices: [{ label: t("data.delete.do"), value: "yes", kind: "danger sure" }],
  });
  if (!choice) return false;
  try {
    const gone = await data.remove(dataset.name);
    toast("ok", t(gone.kept_for.length ? "data.deleted.kept" : "data.deleted"));
    return true;
  } catch (error) {
    if (!(error instanceof Refused && error.code === "dataset_in_use")) throw error;
    await tellUsers(dataset, error);
    return false;
  }
}

/** @param {API.Dataset} dataset @param {Refused} refused */
async function tellUsers(dataset, refused) {
  const { tasks } = /** @type {{tasks?: string[]}} */ (refused.data ?? {});
  await askWhich({
    title: t("data.in_use.title"),
    text: [
      h("p", {}, h("strong", { class: "foreign" }, dataset.name)),
      h("p", {}, t("data.in_use.text")),
      tasks && (await userList(tasks)),
    ],
    choices: [],
  });
}

/** Links to tasks, by their names where these can be had. @param {readonly string[]} ids */
async function userList(ids) {
  const shown = ids.slice(0, MOST_TASKS);
  const named = await Promise.all(shown.map((id) => api.task(id).catch(() => null)));
  return h(
    "ul",
    {},
    shown.map((id, i) => h("li", {}, h("a", { class: "foreign", href: taskAddress(id) }, named[i]?.name ?? id))),
    ids.length > shown.length && h("li", {}, t("more", { n: ids.length - shown.length })),
  );
}

/** What can be done to a dataset, wherever it is shown. @param {API.Dataset} dataset @param {string|null} denied @param {(now: API.Dataset|null) => unknown} changed
 * @returns {import("../../ui/menu.js").Choice[]} */
export function datasetChoices(dataset, denied, changed) {
  /** @param {() => Promise<void>} run */
  const guarded = (run) => () => (denied ? toast("bad", denied) : void attempt(run));
  const change = async () => {
    const now = await askForDataset(dataset);
    if (now) changed(now);
  };
  const remove = async () => {
    if (await deleteDataset(dataset)) changed(null);
  };
  return [
    { label: t("data.change"), icon: "pen", denied, run: guarded(change) },
    { label: t("data.delete"), icon: "trash", danger: true, denied, run: guarded(remove) },
  ];
}
