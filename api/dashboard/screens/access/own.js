// The signed-in user, their permissions and quota.

import { access } from "../../app/access.js";
import { api } from "../../app/api.js";
import { permissionLabel } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { roleLabel } from "../../app/shell/user_menu.js";
import { fill, h } from "../../ui/dom.js";
import { count, figure, isKnown, localTime, utcTime } from "../../ui/format.js";
import { panel } from "../../ui/panel.js";

/** The limits of a quota, in display order. */
export const BOUNDS = /** @type {const} */ (["gpus", "queued_tasks", "gpu_hours_per_day", "storage_gb"]);

/** The used amount of a limit, or null if unknown. @param {API.Usage|null} usage @param {typeof BOUNDS[number]} name */
export const usedOf = (usage, name) => usage?.[name === "gpu_hours_per_day" ? "gpu_hours_last_day" : name] ?? null;

/** @param {number} value */
export const amount = (value) => (Number.isInteger(value) ? count(value) : figure(value));

export function ownPanel() {
  const facts = h("dl.facts");
  const quota = h("dl.figures-row.quota");
  const element = panel("", t("you"), null, h("div.body.access-own", facts, h("div", h("h3", t("quota")), quota)));

  const forget = access.watch((known) => {
    const who = known?.who;
    element.hidden = !who;
    if (!who) return;
    fill(
      facts,
      fact("user", who.user_id),
      who.name && who.name !== who.user_id && fact("key.name", who.name),
      fact("role", roleLabel(who.role)),
      fact("expires", who.expires_at ? localTime(who.expires_at) : t("never.ends"), utcTime(who.expires_at)),
      fact("permissions", who.permissions.map(permissionLabel).join(" · ")),
    );
    showQuota(who);
  });

  /** @param {API.WhoAmI} who */
  function showQuota({ quota: bounds, usage }) {
    const shown = BOUNDS.map((name) =>
      h(
        "div.stat",
        { data: { bound: name } },
        h("dt.label", t(`quota.${name}`)),
        h("dd", bound(bounds[name] ?? null, usedOf(usage, name))),
      ),
    );
    fill(quota, shown);
  }

  async function refetch() {
    if (access.value?.who) showQuota(await api.whoami());
  }
  return { element, close: forget, refetch };
}

/** @param {WordKey} key @param {Child} value @param {string} [title] */
const fact = (key, value, title) => [h("dt", t(key)), h("dd.foreign", { title: title || null }, value)];

/** The used amount and its limit. @param {number|null} most @param {number|null} used */
function bound(most, used) {
  if (!isKnown(used)) return h("b", isKnown(most) ? amount(most) : t("quota.none"));
  const behind = isKnown(most) ? t("quota.of.bound", { bound: amount(most) }) : t("quota.none");
  return [h("b", amount(used)), h("span.faint", ` ${behind}`)];
}
