// The alerts screen: active alerts, history, silences, deliveries, rules and channels.

import { soon } from "../../app/debounce.js";
import { t } from "../../app/i18n.js";
import { storeQuery } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { segments } from "../../ui/segments.js";
import { loading } from "../../ui/states.js";
import { attempt } from "../../ui/toast.js";
import { activePart } from "./active.js";
import { firing } from "./state.js";

/** Pause that combines bursts of changes. */
const PAUSE_MS = 500;

/**
 * The content of a tab.
 * @typedef {object} Part
 * @property {HTMLElement} element
 * @property {() => Promise<void>} refetch
 * @property {boolean} [isLive] it is refetched when an alert changes
 * @property {() => void} [close]
 */
/** @typedef {(place: import("../../app/router.js").Place) => Part} MakePart */

/** Rarely used tabs are loaded on demand. @type {Record<string, () => Promise<MakePart>>} */
const PARTS = {
  now: async () => activePart,
  history: async () => (await import("./history.js")).historyPart,
  silences: async () => (await import("./silences.js")).silencesPart,
  rules: async () => (await import("./rules.js")).rulesPart,
  channels: async () => (await import("./channels.js")).channelsPart,
};
const NAMES = /** @type {const} */ (["now", "history", "silences", "rules", "channels"]);

/** @param {import("../../app/main.js").App} _app @param {import("../../app/router.js").Place} place @returns {import("../../app/main.js").Screen} */
export function open(_app, place) {
  /** @type {Part|null} */
  let part = null;
  let chosen = NAMES.find((name) => name === place.query.get("tab")) ?? "now";
  const body = h("div.alerts-body", loading());
  const tabs = segments(
    t("alerts.parts"),
    NAMES.map((value) => ({ value, label: t(`alerts.tab.${value}`) })),
    chosen,
    (value) => {
      chosen = value;
      storeQuery("/alerts", { tab: value === "now" ? "" : value });
      attempt(show);
    },
  );
  const refetchSoon = soon(() => part?.isLive && part.refetch().catch(() => {}), PAUSE_MS);
  const unwatch = firing.watch(refetchSoon);

  async function show() {
    const mine = chosen;
    const make = await PARTS[mine]();
    if (mine !== chosen) return;
    part?.close?.();
    part = make(place);
    fill(body, part.element);
    await part.refetch();
  }

  const alertId = place.query.get("alert");
  if (alertId) attempt(async () => (await import("./detail.js")).openAlert(alertId));
  return {
    element: h("div.screen", h("div.screen-head", h("h1", t("alerts")), h("div.tools", tabs.element)), body),
    title: () => (firing.value?.counts.firing ? `(${count(firing.value.counts.firing)}) ${t("alerts")}` : t("alerts")),
    topics: "gpu,system",
    on: {},
    refetch: () => (part ? part.refetch() : show()),
    close() {
      unwatch();
      refetchSoon.cancel();
      part?.close?.();
    },
  };
}
