// Who one is, what one may do, and how much one may use.

import { access } from "../../access.js";
import { fill, h } from "../../dom.js";
import { count, figure, isKnown, localTime, UNKNOWN, utcTime } from "../../format.js";
import { t } from "../../i18n.js";
import { permissionWord } from "../../refusal.js";
import { roleWord } from "../../shell/who.js";

/** What a quota bounds, in the order in which it is shown. */
export const BOUNDS = /** @type {const} */ (["gpus", "queued_tasks", "gpu_hours_per_day", "storage_gb"]);

export function ownPanel() {
  const facts = h("dl", { class: "facts" });
  const quota = h("dl", { class: "figures-row quota" });
  const element = h(
    "section",
    { class: "panel", "aria-label": t("you") },
    h("header", {}, h("h2", {}, t("you"))),
    h("div", { class: "body access-own" }, facts, h("div", {}, h("h3", {}, t("quota")), quota)),
  );

  const forget = access.watch((known) => {
    const who = known?.who;
    element.hidden = !who;
    if (!who) return;
    fill(
      facts,
      fact("user", who.user_id),
      who.name && who.name !== who.user_id && fact("key.name", who.name),
      fact("role", roleWord(who.role)),
      fact("expires", who.expires_at ? localTime(who.expires_at) : t("never.ends"), utcTime(who.expires_at)),
      fact("permissions", who.permissions.map(permissionWord).join(" · ")),
    );
    fill(
      quota,
      BOUNDS.map((name) =>
        h(
          "div",
          { class: "stat" },
          h("dt", { class: "label" }, t(`quota.${name}`)),
          h("dd", {}, bound(who.quota, name)),
        ),
      ),
    );
  });
  return { element, close: forget };
}

/** @param {WordKey} key @param {Child} value @param {string} [title] */
const fact = (key, value, title) => [h("dt", {}, t(key)), h("dd", { class: "foreign", title: title || null }, value)];

/** @param {API.Quota} quota @param {typeof BOUNDS[number]} name */
function bound(quota, name) {
  const value = quota[name];
  if (!isKnown(value))
    return h("b", { title: t("quota.none") }, UNKNOWN, h("span", { class: "visually-hidden" }, t("quota.none")));
  return h("b", {}, Number.isInteger(value) ? count(value) : figure(value));
}
