// Deliveries: what was told to whom, what the receiver answered, and when it is tried again.

import { whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { t, word } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { pagerOf } from "../../ui/pager.js";
import { segments } from "../../ui/segments.js";
import { empty, loading, stackedTable } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { time } from "../../ui/time.js";
import { attempt } from "../../ui/toast.js";
import { alertLink } from "./links.js";
import { severityChip } from "./severity.js";
import { tellAlert } from "./told.js";

const ROWS = 25;
/** Alerts whose titles are known at once; of older ones stands the id. */
const RECENT = 200;
/** Alerts of a delivery that are named. */
const NAMED = 5;
const STATES = /** @type {const} */ (["", "waiting", "delivered", "rejected", "expired"]);
/** @type {Record<string, [tone: string, sign: import("../../ui/icons.js").IconName]>} */
const LOOKS = {
  waiting: ["warn", "clock"],
  sending: ["run", "send"],
  delivered: ["ok", "check"],
  rejected: ["bad", "cross"],
  expired: ["bad", "cross"],
};

/** @param {string} state */
function deliveryChip(state) {
  const [tone, sign] = LOOKS[state] ?? ["idle", "question"];
  return h("span", { class: "status chip", data: { tone } }, icon(sign), word("delivery", state));
}

/** @type {import("./view.js").MakePart} */
export function deliveriesPart(place) {
  const body = h("div", {}, loading());
  const foot = h("div", { class: "pager" });
  const total = h("span", { class: "count-badge" });
  const denied = whyNot("alerts:manage");
  const channel = place.query.get("channel_id") ?? "";
  let [offset, asked] = [0, 0];
  /** @type {typeof STATES[number]} */
  let state = "";
  const filter = segments(
    t("deliveries.state"),
    STATES.map((value) => ({ value, label: value ? word("delivery", value) : t("filter.all") })),
    state,
    (value) => {
      state = value;
      offset = 0;
      attempt(refetch);
    },
  );

  async function refetch() {
    if (denied) return void fill(body, h("div", { class: "panel-text" }, note("idle", h("p", {}, denied))));
    const mine = ++asked;
    const [found, recent] = await Promise.all([
      alertApi.deliveries({ state, channel_id: channel, limit: ROWS, offset }),
      alertApi.list({ limit: RECENT }),
    ]);
    if (mine !== asked) return;
    const { deliveries, pagination } = found;
    const titles = new Map(recent.alerts.map((alert) => [alert.alert_id, tellAlert(alert).summary]));
    fill(total, count(pagination.total));
    fill(
      body,
      deliveries.length
        ? stackedTable(
            HEADS(),
            deliveries.map((delivery) => row(delivery, titles)),
            "deliveries-table",
          )
        : empty("send", t("deliveries.none")),
    );
    const goTo = (/** @type {number} */ to) => {
      offset = to;
      attempt(refetch);
    };
    fill(foot, pagerOf({ offset, limit: ROWS }, deliveries.length, pagination, goTo));
  }

  return {
    element: h(
      "section",
      { class: "panel access-list", "aria-label": t("alerts.tab.deliveries") },
      h(
        "header",
        {},
        h("h2", {}, t("alerts.tab.deliveries")),
        !denied && total,
        h("div", { class: "tools" }, !denied && filter.element),
      ),
      body,
      foot,
    ),
    refetch,
    isLive: true,
  };
}

const HEADS = () => [
  { label: t("time") },
  { label: t("channel") },
  { label: t("status") },
  { label: t("delivery.holds") },
  { label: t("delivery.attempts"), isNumber: true },
  { label: t("delivery.answer") },
];

/** @param {API.Delivery} delivery @param {Map<string, string>} titles of alerts, by id */
function row(delivery, titles) {
  const { kind, status, result, not_before: next } = delivery;
  const named = kind === "test" ? [] : delivery.alerts.slice(0, NAMED);
  return h(
    "tr",
    { data: { delivery: delivery.delivery_id } },
    h("td", {}, time(delivery.created_at)),
    h("td", { class: "foreign" }, h("strong", {}, delivery.channel ?? t("channel.gone"))),
    h("td", {}, deliveryChip(delivery.state)),
    h(
      "td",
      {},
      kind === "test" ? t("delivery.test") : severityChip(delivery.severity),
      kind === "digest" && h("span", { class: "tag" }, t("delivery.digest")),
      h(
        "div",
        { class: "small" },
        named.map((id) => h("div", {}, alertLink(id, titles.get(id) ?? id))),
        delivery.count > NAMED && h("span", { class: "faint" }, t("more", { n: count(delivery.count - NAMED) })),
      ),
    ),
    h("td", { class: "num" }, count(delivery.attempts)),
    h(
      "td",
      { class: "foreign" },
      [status && `HTTP ${status}`, result].filter(Boolean).join(" · "),
      next && h("div", { class: "faint small" }, t("delivery.next"), " ", time(next)),
    ),
  );
}
