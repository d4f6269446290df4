// The history of alerts, filtered by severity, state, rule, GPU, training and time.

import { alertApi } from "../../app/api_alerts.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t } from "../../app/i18n.js";
import { ageOf, machine } from "../../app/machine.js";
import { storeQuery } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { count, duration, figure } from "../../ui/format.js";
import { gpuName } from "../../ui/gpus.js";
import { pagerOf } from "../../ui/pager.js";
import { empty, loading, stackedTable } from "../../ui/states.js";
import { time } from "../../ui/time.js";
import { attempt } from "../../ui/toast.js";
import { translateAlert, translateEnd, translateRule } from "./alert_text.js";
import { alertLink, linksOf } from "./links.js";
import { alertStateChip, severityChip } from "./severity.js";

const ROWS = 25;
const TYPING_MS = 300;
const STATES = ["firing", "pending", "acknowledged", "silenced", "resolved"];
const SEVERITIES = ["critical", "warning", "info"];
/** Time ranges that the service accepts. */
const SINCE = ["1h", "1d", "7d", "30d"];

/** @type {import("./view.js").MakePart} */
export function historyPart(place) {
  const body = h("div", {}, loading());
  const foot = h("div", { class: "pager" });
  const total = h("span", { class: "count-badge" });
  let offset = 0;
  let requests = 0;
  const filter = historyFilter(place.query, () => {
    offset = 0;
    storeQuery("/alerts", { tab: "history", ...filter.values() });
    attempt(refetch);
  });

  async function refetch() {
    const mine = ++requests;
    const found = await alertApi.list({ ...filter.values(), limit: ROWS, offset });
    if (mine !== requests) return;
    const { alerts, pagination } = found;
    fill(total, count(pagination.total));
    fill(
      body,
      alerts.length ? stackedTable(HEADS(), alerts.map(row), "alerts-table") : empty("bell", t("history.none")),
    );
    const goTo = (/** @type {number} */ to) => {
      offset = to;
      attempt(refetch);
    };
    fill(foot, pagerOf({ offset, limit: ROWS }, alerts.length, pagination, goTo));
  }

  return {
    element: h(
      "section",
      { class: "panel access-list", "aria-label": t("alerts.tab.history") },
      h("header", {}, h("h2", {}, t("alerts.tab.history")), total, h("div", { class: "tools" }, filter.element)),
      body,
      foot,
    ),
    refetch,
    isLive: true,
    close: filter.close,
  };
}

/** @param {URLSearchParams} query @param {() => void} changed */
function historyFilter(query, changed) {
  const changedSoon = soon(changed, TYPING_MS);
  /** @param {string} name @param {WordKey} label @param {[value: string, text: string][]} choices */
  const select = (name, label, choices) =>
    h(
      "select",
      { class: "input", "aria-label": t(label), on: { change: changed } },
      h("option", { value: "" }, t(label)),
      choices.map(([value, text]) => h("option", { value, selected: query.get(name) === value }, text)),
    );
  const fields = {
    state: select(
      "state",
      "history.state",
      STATES.map((value) => [value, labelFor("alert", value)]),
    ),
    severity: select(
      "severity",
      "history.severity",
      SEVERITIES.map((value) => [value, labelFor("severity", value)]),
    ),
    rule: select("rule", "history.rule", []),
    gpu_uuid: select(
      "gpu_uuid",
      "history.gpu",
      (machine.value?.gpus ?? []).map(({ uuid, gpu_id: id }) => [uuid ?? "", gpuName(id)]),
    ),
    since: select(
      "since",
      "history.since",
      SINCE.map((value) => [value, labelFor("since", value)]),
    ),
    task_id: h("input", {
      class: "input",
      type: "search",
      maxlength: 64,
      value: query.get("task_id") ?? "",
      placeholder: t("history.task"),
      "aria-label": t("history.task"),
      on: { input: changedSoon },
    }),
  };
  alertApi.rules().then(
    ({ rules }) => {
      const wanted = query.get("rule");
      const named = rules.map((rule) => ({ value: rule.rule_id, label: translateRule(rule).title }));
      named.sort((a, b) => a.label.localeCompare(b.label));
      fields.rule.append(...named.map(({ value, label }) => h("option", { value, selected: value === wanted }, label)));
    },
    () => {},
  );
  return {
    element: h("div", { class: "audit-filter alerts-filter" }, Object.values(fields)),
    /** A rule may be selected before the rules are loaded. */
    values() {
      const values = Object.entries(fields).map(([name, field]) => [name, field.value.trim()]);
      if (fields.rule.options.length === 1) values.push(["rule", query.get("rule") ?? ""]);
      return Object.fromEntries(values);
    },
    close: changedSoon.cancel,
  };
}

const HEADS = () => [
  { label: t("history.severity.one") },
  { label: t("alert") },
  { label: t("status") },
  { label: t("alert.began") },
  { label: t("duration") },
  { label: t("alert.peak") },
];

/** @param {API.Alert} alert */
function row(alert) {
  const { title, summary } = translateAlert(alert);
  const { since, resolved_at: ended, peak } = alert;
  const lasted = ended ? (Date.parse(ended) - Date.parse(since)) / 1000 : ageOf(since);
  return h(
    "tr",
    { data: { alert: alert.alert_id } },
    h("td", {}, severityChip(alert.severity)),
    h(
      "td",
      {},
      h("strong", {}, alertLink(alert.alert_id, summary)),
      h("div", { class: "soft small foreign" }, ended ? translateEnd(alert) : title),
      h("div", { class: "links small" }, linksOf(alert)),
    ),
    h("td", {}, alertStateChip(alert.state)),
    h("td", {}, time(since)),
    h("td", { class: "nowrap" }, duration(lasted)),
    h("td", {}, figure(peak)),
  );
}
