// The access screen: the user's own permissions; for administrators keys, people and the audit log.

import { access, has } from "../../app/access.js";
import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { panel } from "../../ui/panel.js";
import { sections } from "../../ui/sections.js";
import { empty, loading, stackedTable } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { headings } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { toast, toastError } from "../../ui/toast.js";
import { auditPanel } from "./audit.js";
import { keysPanel } from "./keys.js";
import { amount, BOUNDS, ownPanel, usedOf } from "./own.js";
import { quotaInput } from "./quota.js";

/** @param {import("../../app/main.js").App} app @returns {import("../../app/main.js").Screen} */
export function open(app) {
  const own = ownPanel();
  const warning = h("div");
  const refetchOrRetry = () => refetch().catch(() => app.stream.retry());
  const [keys, people, audit] = [keysPanel(refetchOrRetry), peoplePanel(), auditPanel()];
  const forget = access.watch(() => {
    fill(warning, access.value?.isRequired === false && note("warn", h("p", t("access.open"))));
    keys.element.hidden = people.element.hidden = !has("keys:manage");
    audit.element.hidden = !has("audit:read");
  });

  async function refetch() {
    const forManagers = has("keys:manage") ? [keys.refetch(), people.refetch()] : [];
    await Promise.all([own.refetch(), ...forManagers, has("audit:read") && audit.refetch()]);
  }

  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.settings")), sections("settings", "#/settings/keys")),
      warning,
      own.element,
      keys.element,
      people.element,
      audit.element,
    ),
    title: () => t("settings.keys"),
    topics: "gpu,system",
    on: {},
    refetch,
    close() {
      forget();
      own.close();
      audit.close();
    },
  };
}

function peoplePanel() {
  const body = h("div", loading());
  const total = h("span.count-badge");

  async function refetch() {
    const { users } = await api.people();
    fill(total, count(users.length));
    // Do not disturb a user who is typing in a field.
    if (body.contains(document.activeElement)) return;
    fill(body, users.length ? stackedTable(HEADS(), users.map(row), "people-table") : empty("user", t("people.none")));
  }

  const element = panel("access-list", t("people"), [total, h("p.faint.small.tools", t("people.text"))], body);
  return { element, refetch };
}

const HEADS = () => [
  ...headings("user", "people.keys"),
  ...BOUNDS.map((name) => t(`quota.${name}`)),
  t("people.since"),
];

/** @param {API.Person} person */
function row({ user_id: user, active_keys: keys, quota, usage, created_at: since }) {
  return h(
    "tr",
    { data: { user } },
    h("td.foreign", h("strong", user)),
    h("td.num", count(keys)),
    BOUNDS.map((name) => h("td", boundField(user, name, quota[name] ?? null), used(usedOf(usage, name)))),
    h("td", time(since)),
  );
}

/** @param {number|null} value */
const used = (value) => value !== null && h("div.faint.small", t("quota.used", { used: amount(value) }));

/** @param {string} user @param {typeof BOUNDS[number]} name @param {number|null} first */
function boundField(user, name, first) {
  let saved = first;
  const input = quotaInput(name, `${user}: ${t(`quota.${name}`)}`, first);
  input.addEventListener("change", async () => {
    if (!input.reportValidity()) return;
    const wanted = input.value === "" ? null : input.valueAsNumber;
    try {
      await api.changeQuota(user, { [name]: wanted });
      saved = wanted;
      toast("ok", t("quota.changed", { user }));
    } catch (error) {
      input.value = saved === null ? "" : String(saved);
      toastError(error);
    }
  });
  return input;
}
