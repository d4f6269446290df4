// Creates a key and shows it once.

import { has } from "../../app/access.js";
import { api } from "../../app/api.js";
import { newKey } from "../../app/api_data.js";
import { permissionLabel } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { field, labelled, selectInput, suggestions } from "../../ui/fields.js";
import { askForm } from "../../ui/form_dialog.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { BOUNDS } from "./own.js";
import { quotaInput } from "./quota.js";

const DAY_MS = 86_400_000;
const ROLES = /** @type {const} */ (["viewer", "trainer", "admin"]);
/** Days until a new key expires; 0: never. */
const DURATIONS = /** @type {const} */ ([
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

/**
 * Opens the form for a new key, creates it and shows it. Resolves to the key, or null.
 * @returns {Promise<API.NewKey|null>}
 */
export async function askForKey() {
  const form = keyForm();
  let once = newKey();
  const made = await askForm({
    title: t("key.make"),
    content: form.element,
    action: [icon("key"), t("key.make.do")],
    run: () => api.makeKey(form.toRequest(), once),
    isValid: form.isValid,
    changed: () => {
      once = newKey();
    },
    isSticky: true,
  });
  if (made) await showOnce(made);
  return made;
}

function keyForm() {
  const known = h("datalist", { id: "known-people" });
  api.people().then(
    ({ users }) => fill(known, suggestions(users.map(({ user_id: id }) => id))),
    () => {},
  );
  const user = h("input.input", {
    id: "key-user",
    required: true,
    maxlength: 64,
    pattern: "[A-Za-z0-9][A-Za-z0-9._@\\-]*",
    title: t("key.user.form"),
    list: "known-people",
    autocomplete: "off",
    autofocus: true,
  });
  const name = h("input.input", { id: "key-name", maxlength: 200, placeholder: t("optional"), autocomplete: "off" });
  const own = permissionChecks();
  /** @type {HTMLSelectElement} */
  const role = selectInput(
    [...labelled("role", ROLES), ["", t("role.own")]],
    { id: "key-role", on: { change: () => showOwn() } },
    "trainer",
  );
  const lasts = selectInput(
    DURATIONS.map(([days, label]) => [days, t(label)]),
    { id: "key-lasts" },
    90,
  );
  const bounds = BOUNDS.map((bound) => ({ bound, input: quotaInput(bound, t(`quota.${bound}`), null) }));
  const showOwn = () => {
    own.element.hidden = role.value !== "";
  };
  showOwn();
  const element = h(
    "div.stack",
    h("div.pair", field(t("user"), user, known), field(t("key.called"), name)),
    h("div.pair", field(t("role"), role), field(t("expires"), lasts)),
    own.element,
    h(
      "details",
      h("summary.label", t("quota.of")),
      h("p.faint.small", t("quota.of.text")),
      h(
        "div.pair.wide",
        bounds.map(({ bound, input }) => h("div.field", h("span.label", t(`quota.${bound}`)), input)),
      ),
    ),
  );

  /** @returns {API.KeyRequest} */
  function toRequest() {
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
  return { element, toRequest, isValid: () => own.isValid(role.value !== "") };
}

/** Checkboxes of all permissions; those that the user lacks are disabled. */
function permissionChecks() {
  const boxes = PERMISSIONS.map((value) => ({ value, box: h("input", { type: "checkbox", disabled: !has(value) }) }));
  const element = h(
    "fieldset.permission-list",
    h("legend.label", t("permissions")),
    boxes.map(({ value, box }) => h("label.check", box, permissionLabel(value))),
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

/** @param {API.Key} key */
export const nameOf = ({ user_id: user, name }) => (name === user ? user : `${user} · ${name}`);

/** Shows a new key until the dialog is closed. It cannot be shown again. @param {API.NewKey} key */
export function showOnce(key) {
  return new Promise((resolve) => {
    const secret = key.api_key;
    const dialog = openDialog(
      t("key.new"),
      (close) =>
        h(
          "div.inside",
          h("h2", t("key.new")),
          h("p.soft", h("strong.foreign", nameOf(key))),
          secret
            ? [
                note("warn", h("p", t("key.shown_once"))),
                copied(t("key.itself"), secret),
                copied(
                  t("key.test"),
                  `curl -H 'Authorization: Bearer ${secret}' ${location.origin}/api/v1/auth/whoami`,
                ),
              ]
            : note("bad", h("p", t("key.lost"))),
          h("div.choices", h("button.button.primary", { on: { click: close } }, t("key.saved"))),
        ),
      "",
      true,
    );
    dialog.addEventListener("close", () => resolve(undefined));
  });
}

/**
 * A text with a copy button; if the browser blocks copying, the text is selected.
 * @param {string} label @param {string} text
 */
function copied(label, text) {
  const shown = h("code.file", { tabindex: 0, role: "group", "aria-label": label }, text);
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
    "div.field",
    h(
      "div.editor-head",
      label,
      h("button.button.small", { type: "button", on: { click: copy } }, icon("copy"), t("copy")),
    ),
    shown,
  );
}
