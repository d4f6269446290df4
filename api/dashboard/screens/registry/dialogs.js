// Dialogs to change or delete a model or one of its versions.

import { Refused } from "../../app/api.js";
import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { askSure, askWhich } from "../../ui/dialog.js";
import { h } from "../../ui/dom.js";
import { splitTags } from "../../ui/fields.js";
import { askFields, MODEL_NAME } from "../../ui/form_dialog.js";
import { toast } from "../../ui/toast.js";

/** Pattern of aliases that the service accepts. */
const ALIASES = "\\s*([a-z][a-z0-9._\\-]{0,39}\\s*[,，]?\\s*)*";

/** @param {string} text */
const split = (text) => [...new Set(text.split(/[,，\s]+/).filter(Boolean))];
/** @param {API.RegisteredModel} model @param {(now: API.RegisteredModel) => unknown} changed */
export const changeModel = (model, changed) =>
  askFields(
    t("registered.change"),
    [
      {
        name: "name",
        label: t("name"),
        hint: t("data.name.form"),
        pattern: MODEL_NAME,
        required: true,
        value: model.name,
      },
      { name: "description", label: t("description"), rows: 3, value: model.description ?? "" },
      { name: "tags", label: t("data.tags"), hint: t("data.tags.hint"), value: model.tags.join(", ") },
    ],
    t("save"),
    async ({ name, description, tags }) =>
      changed(
        await models.changeRegistered(model.name, { name, description: description || null, tags: splitTags(tags) }),
      ),
  );

/** @param {API.ModelVersion} version @param {() => unknown} changed */
export const changeVersion = (version, changed) =>
  askFields(
    t("version.change.title", { n: version.version }),
    [
      {
        name: "aliases",
        label: t("aliases"),
        hint: t("aliases.hint"),
        pattern: ALIASES,
        value: version.aliases.join(", "),
      },
      { name: "notes", label: t("notes"), rows: 4, value: version.notes ?? "" },
      { name: "tags", label: t("data.tags"), hint: t("data.tags.hint"), value: version.tags.join(", ") },
    ],
    t("save"),
    async ({ aliases, notes, tags }) => {
      await models.changeVersion(version.model, version.version, {
        aliases: split(aliases),
        notes: notes || null,
        tags: splitTags(tags),
      });
      changed();
    },
  );

/**
 * Creates a copy whose header has the fields that other programs read.
 * @param {API.ModelVersion} version @param {() => unknown} changed
 */
export function writeMetadata(version, changed) {
  const key = newKey();
  return askFields(
    t("metadata.title"),
    [{ name: "trigger", label: t("metadata.trigger"), hint: t("optional"), value: "" }],
    t("metadata.do"),
    async ({ trigger }) => {
      const made = await models.writeMetadata(version.model, version.version, trigger ? { trigger } : {}, key);
      toast("ok", t("version.made", { n: made.version, name: made.model }));
      changed();
    },
    t("metadata.text"),
  );
}

/** @param {API.RegisteredModel} model @returns {Promise<boolean>} whether it was deleted */
export const deleteModel = (model) =>
  deleteOne(t("registered.delete.title"), model.name, t("registered.delete.text", { n: model.versions }), () =>
    models.removeRegistered(model.name),
  );

/** @param {API.ModelVersion} version @returns {Promise<boolean>} whether it was deleted */
export const deleteVersion = (version) =>
  deleteOne(t("version.delete.title", { n: version.version }), version.file_name, t("version.delete.text"), () =>
    models.removeVersion(version.model, version.version),
  );

/** @param {string} title @param {string} name @param {string} text @param {() => Promise<unknown>} remove */
async function deleteOne(title, name, text, remove) {
  const isSure = await askSure({
    title,
    text: [h("p", h("strong.foreign", name)), h("p", text)],
    action: t("data.delete.do"),
  });
  if (!isSure) return false;
  try {
    await remove();
    toast("ok", t("data.deleted"));
    return true;
  } catch (error) {
    if (!(error instanceof Refused && error.code === "version_in_use")) throw error;
    await showUsers(name, error);
    return false;
  }
}

/** Lists what prevents the deletion: aliases and unfinished tasks. @param {string} name @param {Refused} refused */
function showUsers(name, refused) {
  const { aliases, tasks } = /** @type {{aliases?: Record<string, number>|string[], tasks?: string[]}} */ (
    refused.data ?? {}
  );
  const held = Array.isArray(aliases) ? aliases : Object.keys(aliases ?? {});
  return askWhich({
    title: t("data.in_use.title"),
    text: [
      h("p", h("strong.foreign", name)),
      h("p", t("version.in_use")),
      held.length > 0 &&
        h(
          "p",
          t("aliases"),
          " ",
          held.map((alias) => h("span.alias", alias)),
        ),
      tasks?.length
        ? h(
            "ul",
            tasks.map((id) => h("li", h("a", { href: taskAddress(id) }, id))),
          )
        : null,
    ],
    choices: [],
  });
}
