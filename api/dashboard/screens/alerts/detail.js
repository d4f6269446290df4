// The dialog with all details of an alert: message, labels, timeline, and deliveries.

import { alertApi } from "../../app/api_alerts.js";
import { refusalText } from "../../app/error_text.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { loadAlertStyle } from "../../app/shell/style.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { figure } from "../../ui/format.js";
import { loading } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { headings, table } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { translateEnd } from "./alert_text.js";
import { alertCard } from "./card.js";
import { alertStateChip } from "./severity.js";
import { firing } from "./state.js";

/** @param {string} id */
export async function openAlert(id) {
  await loadAlertStyle();
  const [card, rest] = [h("div"), h("div.stack", loading())];
  const dialog = openDialog(
    t("alert"),
    (close) =>
      h(
        "div.inside",
        h("h2", t("alert")),
        card,
        rest,
        h("div.choices", h("button.button.primary", { on: { click: close } }, t("close"))),
      ),
    "alert-dialog",
  );
  /** @type {ReturnType<typeof alertCard>|null} */
  let shown = null;

  async function refetch() {
    try {
      const { alert, history, deliveries, actions } = await alertApi.get(id);
      shown ??= alertCard(alert);
      shown.update(alert);
      if (!card.firstChild) fill(card, shown.element);
      fill(
        rest,
        facts(alert),
        historyTable(history),
        actions.length ? done(actions) : null,
        deliveries?.length ? deliveryTable(deliveries) : null,
      );
    } catch (error) {
      fill(rest, note("bad", h("p.foreign", refusalText(error))));
    }
  }
  const unwatch = firing.watch(() => void refetch());
  dialog.addEventListener("close", unwatch);
}

/** @param {API.Alert} alert */
function facts(alert) {
  const { alert_id: id, rule_id: rule, value, peak, labels, resolution, target } = alert;
  /** @type {[string, Child][]} */
  const rows = [
    [t("alert.rule"), h("a", { href: `#/alerts?tab=rules&rule=${encodeURIComponent(rule)}` }, rule)],
    [t("alert.target"), target],
    [t("alert.value"), figure(value)],
    [t("alert.peak"), figure(peak)],
    ...(resolution ? /** @type {[string, Child][]} */ ([[t("alert.resolution"), translateEnd(alert)]]) : []),
    [
      t("alert.labels"),
      h(
        "span.matchers",
        Object.entries(labels).map(([name, text]) => h("code.tag", `${name} = ${text}`)),
      ),
    ],
    [t("alert.id"), h("span.mono", id)],
  ];
  return h(
    "dl.facts",
    rows.map(([name, content]) => [h("dt", name), h("dd.foreign", content)]),
  );
}

/** @param {readonly API.AlertHistoryRow[]} history */
function historyTable(history) {
  const rows = history.map(({ at, state, actor, message, message_code: code, value }) =>
    h(
      "tr",
      h("td", time(at)),
      h("td", alertStateChip(state)),
      h("td.foreign", translate(message, code), actor !== "service" && h("span.faint", ` · ${actor}`)),
      h("td.num", figure(value)),
    ),
  );
  const heads = headings("time", "status", "alert.happened", "alert.value");
  return h("section", h("h3", t("alerts.tab.history")), table(heads, rows));
}

/** The actions that its rule has taken or is taking. @param {API.AlertDetail["actions"]} actions */
function done(actions) {
  const rows = actions.map(({ created_at: at, kind, about, state, result }) =>
    h(
      "tr",
      h("td", time(at)),
      h("td", labelFor("action", kind), about && h("div.mono.tiny.foreign", about)),
      h("td", labelFor("action.state", state)),
      h("td.foreign", result ?? ""),
    ),
  );
  const heads = headings("time", "alert.actions", "status", "alert.happened");
  return h("section", h("h3", t("alert.actions")), table(heads, rows));
}

/** @param {readonly API.Delivery[]} deliveries */
function deliveryTable(deliveries) {
  const rows = deliveries.map(({ created_at: at, channel, state, result, attempts, not_before: next }) =>
    h(
      "tr",
      h("td", time(at)),
      h("td.foreign", channel ?? t("channel.deleted")),
      h("td", labelFor("delivery", state)),
      h(
        "td.foreign",
        result ?? "",
        next && h("div.faint.small", t("delivery.next"), " ", time(next), ` (${attempts})`),
      ),
    ),
  );
  const heads = headings("time", "channel", "status", "delivery.answer");
  return h("section", h("h3", t("alerts.tab.deliveries")), table(heads, rows));
}
