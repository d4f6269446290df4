// Edits many captions in the same way, with a preview.

import { Refused } from "../../app/api.js";
import { data } from "../../app/api_data.js";
import { refusalText } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { note } from "../../ui/status.js";
import { difference } from "./difference.js";

const PREVIEW_PAUSE_MS = 350;
const SHOWN = 100;

/** The items of an edit, in the form of the API. @typedef {Pick<API.CaptionsRequest, "item_ids"|"search">} Scope */

/**
 * Opens the dialog and applies the edit.
 * @param {string} name of the dataset @param {number} version the newest
 * @param {Scope} scope @param {number} total number of these items
 * @returns {Promise<API.CaptionEdit|null>} the applied edit; null: cancelled
 */
export function editMany(name, version, scope, total) {
  return new Promise((resolve) => {
    /** @type {API.CaptionEdit|null} */
    let made = null;
    const dialog = openDialog(
      t("edit.title"),
      (close) => form(name, { ...scope, version }, total, close, (edit) => (made = edit)),
      "wide",
    );
    dialog.addEventListener("close", () => resolve(made));
  });
}

/**
 * @param {string} name @param {API.CaptionsRequest} base @param {number} total
 * @param {() => void} close @param {(edit: API.CaptionEdit) => void} done
 */
function form(name, base, total, close, done) {
  const fields = editFields();
  const preview = h("div.edit-preview", { "aria-live": "polite" });
  const save = h("button.button.primary", { type: "submit", disabled: true }, t("edit.do"));
  let requests = 0;
  let timer = 0;

  async function showPreview() {
    const mine = ++requests;
    const request = fields.toRequest();
    save.disabled = true;
    if (!request) return void fill(preview, h("p.faint.small", t("edit.hint")));
    try {
      const found = await data.captions(name, { ...base, ...request, dry_run: true });
      if (mine !== requests) return;
      save.disabled = found.changed === 0;
      fill(preview, previewOf(found));
    } catch (error) {
      if (mine === requests) fill(preview, note("bad", h("p.foreign", refusalText(error))));
    }
  }

  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    const request = fields.toRequest();
    if (!request || save.disabled) return;
    save.disabled = true;
    try {
      done(await data.captions(name, { ...base, ...request }));
      close();
    } catch (error) {
      const isOld = error instanceof Refused && error.code === "dataset_changed";
      fill(preview, note("bad", h("p.foreign", isOld ? t("data.changed") : refusalText(error))));
    }
  }

  const input = () => {
    // Nothing is applied without a preview.
    save.disabled = true;
    clearTimeout(timer);
    timer = setTimeout(showPreview, PREVIEW_PAUSE_MS);
  };
  showPreview();
  return h(
    "form.inside",
    { on: { submit, input } },
    h("h2", t("edit.title")),
    h("p.soft.small", t("edit.scope", { n: count(total) })),
    fields.element,
    preview,
    h("div.choices", h("button.button", { type: "button", on: { click: close } }, t("cancel")), save),
  );
}

function editFields() {
  const [find, put] = [text("edit-find", "edit.find", true), text("edit-put", "edit.put")];
  const regex = h("input", { type: "checkbox", id: "edit-regex" });
  const [trigger, prefix, suffix] = [
    text("edit-trigger", "edit.trigger"),
    text("edit-prefix", "edit.prefix"),
    text("edit-suffix", "edit.suffix"),
  ];
  const missing = text("edit-missing", "edit.missing");
  const others = [find.input, put.input, regex, trigger.input, prefix.input, suffix.input];
  missing.input.addEventListener("input", () => {
    for (const each of others) each.disabled = missing.input.value.trim() !== "";
  });
  return {
    element: h(
      "div.stack",
      missing.element,
      h("div.pair", find.element, put.element),
      h("label.check", { for: "edit-regex" }, regex, t("edit.regex")),
      h("div.pair", trigger.element, prefix.element, suffix.element),
      h("p.faint.tiny", t("edit.once")),
    ),
    /** The edit; null while the form is empty. @returns {API.CaptionsRequest|null} */
    toRequest() {
      if (missing.input.value.trim()) return { caption: missing.input.value.trim(), only_missing: true };
      const triggerWord = trigger.input.value.trim();
      const front = (triggerWord ? `${triggerWord}, ` : "") + prefix.input.value;
      /** @type {API.CaptionsRequest} */
      const request = {};
      if (find.input.value) {
        request.replace = { from: find.input.value, to: put.input.value };
        if (regex.checked) request.regex = true;
      }
      if (front) request.prefix = front;
      if (suffix.input.value) request.suffix = suffix.input.value;
      return Object.keys(request).length ? request : null;
    },
  };
}

/** @param {string} id @param {WordKey} label */
function text(id, label, autofocus = false) {
  const input = h("input.input", { id, autocomplete: "off", maxlength: 1000, autofocus });
  return { input, element: h("div.field", h("label", { for: id }, t(label)), input) };
}

/** @param {API.CaptionEdit} found @returns {Child} */
function previewOf({ changed, differences }) {
  if (!changed) return note("idle", h("p", t("edit.nothing")));
  const shown = differences.slice(0, SHOWN);
  return [
    h("p.small", h("strong", t("edit.changes", { n: count(changed) }))),
    h(
      "ul.edit-list",
      { tabindex: 0, "aria-label": t("edit.preview") },
      shown.map(({ name, before, after }) =>
        h("li", h("span.faint.tiny.foreign", name), h("p.small.foreign", difference(before, after))),
      ),
      changed > shown.length && h("li.faint.small", t("more", { n: count(changed - shown.length) })),
    ),
  ];
}
