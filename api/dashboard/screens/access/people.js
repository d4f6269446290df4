// Users and their quotas, editable in place.

import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { empty, loading, stackedTable } from "../../ui/states.js";
import { time } from "../../ui/time.js";
import { toast, toastError } from "../../ui/toast.js";
import { amount, BOUNDS, usedOf } from "./own.js";
import { quotaInput } from "./quota.js";

export function peoplePanel() {
  const body = h("div", {}, loading());
  const total = h("span", { class: "count-badge" });

  async function refetch() {
    const { users } = await api.people();
    fill(total, count(users.length));
    // Do not disturb a user who is typing in a field.
    if (body.contains(document.activeElement)) return;
    fill(body, users.length ? stackedTable(HEADS(), users.map(row), "people-table") : empty("user", t("people.none")));
  }

  const element = h(
    "section",
    { class: "panel access-list", "aria-label": t("people") },
    h("header", {}, h("h2", {}, t("people")), total, h("p", { class: "faint small tools" }, t("people.text"))),
    body,
  );
  return { element, refetch };
}

const HEADS = () => [
  { label: t("user") },
  { label: t("people.keys"), isNumber: true },
  ...BOUNDS.map((name) => ({ label: t(`quota.${name}`) })),
  { label: t("people.since") },
];

/** @param {API.Person} person */
function row({ user_id: user, active_keys: keys, quota, usage, created_at: since }) {
  return h(
    "tr",
    { data: { user } },
    h("td", { class: "foreign" }, h("strong", {}, user)),
    h("td", { class: "num" }, count(keys)),
    BOUNDS.map((name) => h("td", {}, boundField(user, name, quota[name] ?? null), used(usedOf(usage, name)))),
    h("td", {}, time(since)),
  );
}

/** @param {number|null} value */
const used = (value) => value !== null && h("div", { class: "faint small" }, t("quota.used", { used: amount(value) }));

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
