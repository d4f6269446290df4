// Making a key, and showing it the one time that it can be shown.

import { has } from "../../app/access.js";
import { api } from "../../app/api.js";
import { t, word } from "../../app/i18n.js";
import { permissionWord, refusalWords } from "../../app/refusal.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { BOUNDS } from "./own.js";
import { quotaInput } from "./quota.js";

const DAY_MS = 86_400_000;
const ROLES = /** @type {const} */ (["viewer", "trainer", "admin"]);
/** Days that a new key lasts; 0: for ever. */
const LASTS = /** @type {const} */ ([
  [30, "lasts.30"],
  [90, "lasts.90"],
  [365, "lasts.365"],
  [0, "never.ends"],
]);
const PERMISSIONS = /** @type {API.Permission[]} */ ([
  "gpus:read",
  "processes:read",
  "training:read",
  "logs:read",
  "datasets:read",
  "datasets:write",
  "alerts:read",
  "gpus:register",
  "training:write",
  "alerts:write",
  "tasks:read_any",
  "tasks:write_any",
  "alerts:manage",
  "system:read",
  "system:write",
  "keys:manage",
  "audit:read",
]);

/** Asks whom a key is for and what it permits, makes it and shows it; gives it, or null. @returns {Promise<API.NewKey|null>} */
export function askForKey() {
  return new Promise((resolve) => {
    /** @type {API.NewKey|null} */
    let made = null;
    const form = keyForm();
    let once = newId();
    const problem = h("div", { role: "alert" });
    const button = h("button", { class: "button primary", type: "submit" }, icon("key"), t("key.make.do"));
    const dialog = openDialog(
      t("key.make"),
      (close) => {
        const submit = async (/** @type {Event} */ event) => {
          event.preventDefault();
          if (!form.isValid()) return;
          button.disabled = true;
          try {
            made = await api.makeKey(form.wish(), once);
            close();
          } catch (error) {
            fill(problem, note("bad", h("p", { class: "foreign" }, refusalWords(error))));
          } finally {
            button.disabled = false;
          }
        };
        const changed = () => {
          once = newId();
        };
        return h(
          "form",
          { class: "inside", on: { submit, input: changed } },
          h("h2", {}, t("key.make")),
          form.element,
          problem,
          h(
            "div",
            { class: "choices" },
            h("button", { class: "button", type: "button", on: { click: close } }, t("cancel")),
            button,
          ),
        );
      },
      "",
      true,
    );
    dialog.addEventListener("close", async () => {
      if (made) await showOnce(made);
      resolve(made);
    });
  });
}

const newId = () => crypto.randomUUID?.() ?? `key-${Date.now()}-${Math.random().toString(36).slice(2)}`;

function keyForm() {
  const known = h("datalist", { id: "known-people" });
  api.people().then(
    ({ users }) =>
      fill(
        known,
        users.map(({ user_id: value }) => h("option", { value })),
      ),
    () => {},
  );
  const user = h("input", {
    class: "input",
    id: "key-user",
    required: true,
    maxlength: 64,
    pattern: "[A-Za-z0-9][A-Za-z0-9._@\\-]*",
    title: t("key.user.form"),
    list: "known-people",
    autocomplete: "off",
    autofocus: true,
  });
  const name = h("input", {
    class: "input",
    id: "key-name",
    maxlength: 200,
    placeholder: t("optional"),
    autocomplete: "off",
  });
  const own = permissionChecks();
  /** @type {HTMLSelectElement} */
  const role = h(
    "select",
    { class: "input", id: "key-role", on: { change: () => showOwn() } },
    ROLES.map((value) => h("option", { value, selected: value === "trainer" }, word("role", value))),
    h("option", { value: "" }, t("role.own")),
  );
  const lasts = h(
    "select",
    { class: "input", id: "key-lasts" },
    LASTS.map(([days, label]) => h("option", { value: days, selected: days === 90 }, t(label))),
  );
  const bounds = BOUNDS.map((bound) => ({ bound, input: quotaInput(bound, t(`quota.${bound}`), null) }));
  const showOwn = () => {
    own.element.hidden = role.value !== "";
  };
  showOwn();
  const element = h(
    "div",
    { class: "stack" },
    h("div", { class: "pair" }, field("key-user", t("user"), user, known), field("key-name", t("key.called"), name)),
    h("div", { class: "pair" }, field("key-role", t("role"), role), field("key-lasts", t("expires"), lasts)),
    own.element,
    h(
      "details",
      {},
      h("summary", { class: "label" }, t("quota.of")),
      h("p", { class: "faint small" }, t("quota.of.text")),
      h(
        "div",
        { class: "pair wide" },
        bounds.map(({ bound, input }) =>
          h("div", { class: "field" }, h("span", { class: "label" }, t(`quota.${bound}`)), input),
        ),
      ),
    ),
  );

  /** @returns {API.KeyWish} */
  function wish() {
    const given = bounds.filter(({ input }) => input.value !== "");
    const days = Number(lasts.value);
    return {
      user_id: user.value.trim(),
      name: name.value.trim() || null,
      ...(role.value ? { role: /** @type {typeof ROLES[number]} */ (role.value) } : { permissions: own.chosen() }),
      expires_at: days ? new Date(Date.now() + days * DAY_MS).toISOString() : null,
      quota: given.length ? Object.fromEntries(given.map(({ bound, input }) => [bound, input.valueAsNumber])) : null,
    };
  }
  return { element, wish, isValid: () => own.isValid(role.value !== "") };
}

/** Each permission; those that one lacks cannot be given on. */
function permissionChecks() {
  const boxes = PERMISSIONS.map((value) => ({ value, box: h("input", { type: "checkbox", disabled: !has(value) }) }));
  const element = h(
    "fieldset",
    { class: "permission-list" },
    h("legend", { class: "label" }, t("permissions")),
    boxes.map(({ value, box }) => h("label", { class: "check" }, box, permissionWord(value))),
  );
  return {
    element,
    chosen: () => boxes.filter(({ box }) => box.checked).map(({ value }) => value),
    /** @param {boolean} hasRole */
    isValid(hasRole) {
      if (hasRole || boxes.some(({ box }) => box.checked)) return true;
      toast("bad", t("permissions.none"));
      return false;
    },
  };
}

/** @param {string} id @param {string} label @param {...Child} content */
const field = (id, label, ...content) => h("div", { class: "field" }, h("label", { for: id }, label), content);

/** @param {API.Key} key */
export const nameOf = ({ user_id: user, name }) => (name === user ? user : `${user} · ${name}`);

/** Shows a new key until the dialog is closed; afterwards nobody can show it again. @param {API.NewKey} key */
export function showOnce(key) {
  return new Promise((resolve) => {
    const secret = key.api_key;
    const dialog = openDialog(
      t("key.new"),
      (close) =>
        h(
          "div",
          { class: "inside" },
          h("h2", {}, t("key.new")),
          h("p", { class: "soft" }, h("strong", { class: "foreign" }, nameOf(key))),
          secret
            ? [
                note("warn", h("p", {}, t("key.once"))),
                copied(t("key.itself"), secret),
                copied(t("key.try"), `curl -H 'Authorization: Bearer ${secret}' ${location.origin}/api/v1/auth/whoami`),
              ]
            : note("bad", h("p", {}, t("key.lost"))),
          h(
            "div",
            { class: "choices" },
            h("button", { class: "button primary", on: { click: close } }, t("key.noted")),
          ),
        ),
      "",
      true,
    );
    dialog.addEventListener("close", () => resolve(undefined));
  });
}

/** A text to be copied: by its button, or by hand where the browser lets no page copy. @param {string} label @param {string} text */
function copied(label, text) {
  const shown = h("code", { class: "file", tabindex: 0, role: "group", "aria-label": label }, text);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("ok", t("copied"));
    } catch {
      getSelection()?.selectAllChildren(shown);
      toast("bad", t("copied.not"));
    }
  };
  return h(
    "div",
    { class: "field" },
    h(
      "div",
      { class: "editor-head" },
      label,
      h("button", { class: "button small", type: "button", on: { click: copy } }, icon("copy"), t("copy")),
    ),
    shown,
  );
}
