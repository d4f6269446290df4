// Keys: their users, their last use, rotation and revocation.

import { access } from "../../app/access.js";
import { api } from "../../app/api.js";
import { permissionLabel } from "../../app/error_text.js";
import { labelFor, t } from "../../app/i18n.js";
import { roleLabel } from "../../app/shell/user_menu.js";
import { askSure, askWhich } from "../../ui/dialog.js";
import { h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { menuButton } from "../../ui/menu.js";
import { pagedTable } from "../../ui/paged_table.js";
import { segments } from "../../ui/segments.js";
import { empty } from "../../ui/states.js";
import { headings } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { attempt, toast } from "../../ui/toast.js";
import { askForKey, nameOf, showOnce } from "./new_key.js";

const STATES = /** @type {const} */ (["active", "expired", "revoked", ""]);
/** Seconds for which a replaced key may stay valid. */
const OVERLAPS = /** @type {const} */ ([
  [0, "overlap.none"],
  [3600, "overlap.hour"],
  [86_400, "overlap.day"],
  [7 * 86_400, "overlap.week"],
]);
const TONES = { active: "ok", expired: "idle", revoked: "bad" };
const SIGNS = /** @type {const} */ ({ active: "check", expired: "clock", revoked: "cross" });

/** @param {() => unknown} changed called when a key was created or ended */
export function keysPanel(changed) {
  /** @type {typeof STATES[number]} */
  let state = "active";
  const filter = segments(
    t("key.state"),
    STATES.map((value) => ({ value, label: value ? t(`key.${value}`) : t("filter.all") })),
    state,
    (value) => {
      state = value;
      list.restart();
    },
  );
  const make = async () => {
    const made = await askForKey();
    if (made) changed();
  };

  const list = pagedTable({
    className: "keys-table",
    heads: headings("user", "name", "role", "key.state", "key.used", "expires", "key.created", "actions"),
    row: (/** @type {API.Key} */ key) => row(key, changed),
    none: () => empty("key", t("access.keys.none")),
    async ask({ limit, offset }) {
      const { keys, pagination } = await api.keys({ state, limit, offset });
      return { rows: keys, pagination };
    },
  });

  const element = h(
    "section.panel.access-list",
    { "aria-label": t("access.keys") },
    h(
      "header",
      h("h2", t("access.keys")),
      list.total,
      h(
        "div.tools",
        filter.element,
        h("button.button.primary.small", { on: { click: () => attempt(make) } }, icon("plus"), t("key.make")),
      ),
    ),
    list.body,
    list.foot,
  );
  return { element, refetch: list.refetch };
}

/** @param {API.Key} key @param {() => unknown} changed */
function row(key, changed) {
  const isOwn = access.value?.who?.key_id === key.key_id;
  const { state } = key;
  const chip = h("span.status.chip", { data: { tone: TONES[state] } }, icon(SIGNS[state]), labelFor("key", state));
  return h(
    "tr",
    { data: { key: key.key_id } },
    h("td.foreign", h("strong", key.user_id)),
    h("td.foreign", key.name, isOwn && h("span.faint.tiny", ` ${t("key.own")}`), h("div.faint.tiny.mono", key.key_id)),
    h("td", { title: key.permissions.map(permissionLabel).join("\n") }, roleLabel(key.role)),
    h("td", chip, key.rotated_to && state === "active" && h("div.faint.tiny", t("key.replaced"))),
    h("td", key.last_used_at ? time(key.last_used_at) : h("span.faint", t("key.unused"))),
    h("td", key.expires_at ? time(key.expires_at) : h("span.faint", t("never.ends"))),
    h("td", time(key.created_at), h("div.faint.tiny.foreign", t("key.by", { name: key.created_by }))),
    h(
      "td.menu-cell",
      state === "active" && menuButton(t("actions.of", { name: key.name }), () => choices(key, changed)),
    ),
  );
}

/** @param {API.Key} key @param {() => unknown} changed @returns {import("../../ui/menu.js").Choice[]} */
function choices(key, changed) {
  const denied = key.rotated_to ? t("key.replaced.already") : null;
  return [
    {
      label: t("key.rotate"),
      icon: "redo",
      denied,
      run: () => (denied ? toast("bad", denied) : void attempt(() => rotate(key, changed))),
    },
    { label: t("key.revoke"), icon: "trash", danger: true, run: () => void attempt(() => revoke(key, changed)) },
  ];
}

/** @param {API.Key} key */
const named = (key) => h("p", h("strong.foreign", nameOf(key)));

/** @param {API.Key} key @param {() => unknown} changed */
async function rotate(key, changed) {
  const chosen = await askWhich({
    title: t("key.rotate.title"),
    text: [named(key), h("p", t("key.rotate.text"))],
    choices: OVERLAPS.map(([seconds, label]) => ({ label: t(label), value: String(seconds) })),
  });
  if (chosen === null) return;
  const made = await api.rotateKey(key.key_id, Number(chosen));
  changed();
  await showOnce(made);
}

/** @param {API.Key} key @param {() => unknown} changed */
async function revoke(key, changed) {
  const isOwn = access.value?.who?.key_id === key.key_id;
  const isSure = await askSure({
    title: t("key.revoke.title"),
    text: [named(key), h("p", t(isOwn ? "key.revoke.own" : "key.revoke.text"))],
    action: t("key.revoke.do"),
  });
  if (!isSure) return;
  await api.revokeKey(key.key_id);
  toast("ok", t("key.revoked.done"));
  changed();
}
