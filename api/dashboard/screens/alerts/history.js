// The history of alerts, filtered by severity, state, rule, GPU, training and time.

import { alertApi } from "../../app/api_alerts.js";
import { soon } from "../../app/debounce.js";
import { t } from "../../app/i18n.js";
import { ageOf, machine } from "../../app/machine.js";
import { storeQuery } from "../../app/router.js";
import { h } from "../../ui/dom.js";
import { labelled, selectInput } from "../../ui/fields.js";
import { duration, figure } from "../../ui/format.js";
import { gpuName } from "../../ui/gpus.js";
import { pagedTable } from "../../ui/paged_table.js";
import { panel } from "../../ui/panel.js";
import { empty } from "../../ui/states.js";
import { headings } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { translateAlert, translateEnd, translateRule } from "./alert_text.js";
import { alertLink, linksOf } from "./links.js";
import { alertStateChip, severityChip } from "./severity.js";

const TYPING_MS = 300;
const STATES = ["firing", "pending", "acknowledged", "silenced", "resolved"];
const SEVERITIES = ["critical", "warning", "info"];
/** Time ranges that the service accepts. */
const SINCE = ["1h", "1d", "7d", "30d"];

/** @type {import("./view.js").MakePart} */
export function historyPart(place) {
  const filter = historyFilter(place.query, () => {
    storeQuery("/alerts", { tab: "history", ...filter.values() });
    list.restart();
  });
  const list = pagedTable({
    className: "alerts-table",
    heads: headings("history.severity.one", "alert", "status", "alert.began", "duration", "alert.peak"),
    row,
    none: () => empty("bell", t("history.none")),
    async ask({ limit, offset }) {
      const { alerts, pagination } = await alertApi.list({ ...filter.values(), limit, offset });
      return { rows: alerts, pagination };
    },
  });

  return {
    element: panel(
      "access-list",
      t("alerts.tab.history"),
      [list.total, h("div.tools", filter.element)],
      list.body,
      list.foot,
    ),
    refetch: list.refetch,
    isLive: true,
    close: filter.close,
  };
}

/** @param {URLSearchParams} query @param {() => void} changed */
function historyFilter(query, changed) {
  const changedSoon = soon(changed, TYPING_MS);
  /** @param {string} name @param {WordKey} label @param {import("../../ui/fields.js").Option[]} choices */
  const select = (name, label, choices) =>
    selectInput(
      [["", t(label)], ...choices],
      { "aria-label": t(label), on: { change: changed } },
      query.get(name) ?? "",
    );
  const fields = {
    state: select("state", "history.state", labelled("alert", STATES)),
    severity: select("severity", "history.severity", labelled("severity", SEVERITIES)),
    rule: select("rule", "history.rule", []),
    gpu_uuid: select(
      "gpu_uuid",
      "history.gpu",
      (machine.value?.gpus ?? []).map(({ uuid, gpu_id: id }) => [uuid ?? "", gpuName(id)]),
    ),
    since: select("since", "history.since", labelled("since", SINCE)),
    task_id: h("input.input", {
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
    element: h("div.audit-filter.alerts-filter", Object.values(fields)),
    /** A rule may be selected before the rules are loaded. */
    values() {
      const values = Object.entries(fields).map(([name, field]) => [name, field.value.trim()]);
      if (fields.rule.options.length === 1) values.push(["rule", query.get("rule") ?? ""]);
      return Object.fromEntries(values);
    },
    close: changedSoon.cancel,
  };
}

/** @param {API.Alert} alert */
function row(alert) {
  const { title, summary } = translateAlert(alert);
  const { since, resolved_at: ended, peak } = alert;
  const lasted = ended ? (Date.parse(ended) - Date.parse(since)) / 1000 : ageOf(since);
  return h(
    "tr",
    { data: { alert: alert.alert_id } },
    h("td", severityChip(alert.severity)),
    h(
      "td",
      h("strong", alertLink(alert.alert_id, summary)),
      h("div.soft.small.foreign", ended ? translateEnd(alert) : title),
      h("div.links.small", linksOf(alert)),
    ),
    h("td", alertStateChip(alert.state)),
    h("td", time(since)),
    h("td.nowrap", duration(lasted)),
    h("td", figure(peak)),
  );
}
