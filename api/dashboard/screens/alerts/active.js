// Active alerts: firing first, then pending, then acknowledged ones.

import { whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { t } from "../../app/i18n.js";
import { fill, h, reconcile, setText } from "../../ui/dom.js";
import { count, isKnown } from "../../ui/format.js";
import { empty, loading } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { alertCard } from "./card.js";
import { canNotify, notifies, switchOff, switchOn } from "./notify.js";
import { bySeverity } from "./state.js";

const MAX_COUNT = 200;
/** Update interval of durations. */
const TICK_MS = 30_000;
const STATES = /** @type {const} */ (["firing", "pending", "acknowledged", "silenced"]);

/** @type {import("./view.js").MakePart} */
export function activePart() {
  const figures = STATES.map((state) => ({
    state,
    value: h("b", "–"),
    under: h("span.faint.small"),
  }));
  const groups = STATES.map((state) => group(state));
  const calm = h("div", loading());
  const denied = whyNot("alerts:write");
  const notify = notifySwitch();

  async function refetch() {
    const { alerts, counts, pagination } = await alertApi.list({ open: "true", limit: MAX_COUNT });
    for (const { state, value } of figures) setText(value, count(counts[state]));
    setText(figures[0].under, counts.critical ? t("alerts.critical.n", { n: count(counts.critical) }) : "");
    for (const each of groups) each.show(bySeverity(alerts.filter(({ state }) => state === each.state)));
    fill(
      calm,
      alerts.length === 0 && h("section.panel", empty("check", t("alerts.none.text"))),
      pagination.total > alerts.length &&
        note("warn", h("p", t("alerts.shown", { n: count(alerts.length), total: count(pagination.total) }))),
    );
  }

  const ticking = setInterval(() => document.hidden || refetch().catch(() => {}), TICK_MS);
  return {
    element: h(
      "div.stack",
      denied && note("idle", h("p", denied)),
      h(
        "section.panel.figures-row",
        { "aria-label": t("alerts.counts") },
        figures.map(({ state, value, under }) => h("div.figure", h("span.label", t(`alert.${state}`)), value, under)),
      ),
      notify.element,
      calm,
      groups.map(({ element }) => element),
    ),
    refetch,
    isLive: true,
    close() {
      clearInterval(ticking);
      notify.close();
    },
  };
}

/** @param {typeof STATES[number]} state */
function group(state) {
  const list = h("div.alert-grid");
  const total = h("span.count-badge");
  /** @type {Map<string, ReturnType<typeof alertCard>>} */
  const cards = new Map();
  const element = h(
    "section",
    { "aria-label": t(`alert.${state}`), hidden: true, class: "stack" },
    h("h2.alert-group", t(`alert.${state}`), " ", total),
    list,
  );
  return {
    element,
    state,
    /** @param {API.Alert[]} alerts */
    show(alerts) {
      element.hidden = !alerts.length;
      setText(total, isKnown(alerts.length) ? count(alerts.length) : "");
      reconcile(list, cards, alerts, ({ alert_id: id }) => id, alertCard);
    },
  };
}

function notifySwitch() {
  const input = h("input.switch", {
    type: "checkbox",
    role: "switch",
    id: "notify-switch",
    disabled: !canNotify,
  });
  input.addEventListener("change", async () => {
    if (!input.checked) return switchOff();
    if (await switchOn()) return;
    input.checked = false;
    toast("bad", t("notify.denied"));
  });
  const unwatch = notifies.watch((is) => {
    input.checked = is;
  });
  return {
    element: h(
      "div.notify-row.small",
      input,
      h(
        "label",
        { for: input.id },
        t("notify.here"),
        h("span.faint", ` · ${t(canNotify ? "notify.text" : "notify.cannot")}`),
      ),
    ),
    close: () => void unwatch(),
  };
}
