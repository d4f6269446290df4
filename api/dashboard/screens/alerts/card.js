// The card of one alert: severity, message, duration, remedy, and actions.

import { t } from "../../app/i18n.js";
import { ageOf } from "../../app/machine.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { duration } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { prose } from "../../ui/prose.js";
import { time } from "../../ui/time.js";
import { actionButtons } from "./actions.js";
import { translateAlert, translateEnd } from "./alert_text.js";
import { alertLink, linksOf } from "./links.js";
import { alertStateChip, severityChip, toneOfSeverity } from "./severity.js";

/** @param {API.Alert} first */
export function alertCard(first) {
  const element = h("article.alert-card", { data: { alert: first.alert_id } });
  let drawn = "";

  /** @param {API.Alert} alert */
  function update(alert) {
    const key = JSON.stringify([alert, Math.floor((ageOf(alert.since) ?? 0) / 60)]);
    if (key === drawn) return;
    drawn = key;
    // Keep the keyboard focus on the same button.
    const focused = [...element.querySelectorAll("button, a")].indexOf(/** @type {Element} */ (document.activeElement));
    draw(element, alert);
    if (focused >= 0)
      /** @type {HTMLElement|undefined} */ ([...element.querySelectorAll("button, a")][focused])?.focus();
  }
  return { element, update };
}

/** @param {HTMLElement} element @param {API.Alert} alert */
function draw(element, alert) {
  const { summary, remedy } = translateAlert(alert);
  setAttribute(element, "data-tone", alert.state === "firing" ? toneOfSeverity(alert.severity) : "idle");
  fill(
    element,
    h(
      "header",
      severityChip(alert.severity),
      alert.state !== "firing" && alertStateChip(alert.state),
      alert.is_flapping && h("span.tag", { title: t("alert.flapping.why") }, t("alert.flapping")),
      alert.is_unknown && h("span.tag", { title: t("alert.unknown.why") }, t("unknown")),
      h("span.faint.small.since", since(alert)),
    ),
    h("h3", alertLink(alert.alert_id, summary)),
    alert.state === "resolved" && h("p.soft.small.foreign", translateEnd(alert)),
    remedy &&
      h("p.small.remedy.foreign", icon("arrow"), h("span", h("span.visually-hidden", t("remedy"), " "), prose(remedy))),
    why(alert),
    h("footer", linksOf(alert), h("span.grow"), actionButtons(alert)),
  );
}

/** @param {API.Alert} alert @returns {Child} */
function since({ since: startedAt, resolved_at: ended }) {
  const shown = time(startedAt);
  if (ended) return [shown, " · ", duration((Date.parse(ended) - Date.parse(startedAt)) / 1000)];
  return [shown, " · ", t("alert.for", { time: duration(ageOf(startedAt)) })];
}

/** Who acknowledged it, or why no notifications are sent. @param {API.Alert} alert @returns {Child} */
function why({ acknowledged_by: by, acknowledged_until: until, muted_by: muted, state }) {
  if (state === "silenced" && muted) {
    const text = t(muted.startsWith("silence_") ? "alert.muted.silence" : "alert.muted.covered");
    const isAlert = !muted.startsWith("silence_");
    return h("p.faint.small", text, " ", isAlert ? alertLink(muted, t("alert.muted.which")) : null);
  }
  if (!by) return null;
  return h(
    "p.faint.small.foreign",
    t("alert.acknowledged.by", { name: by }),
    until && [" ", t("until"), " ", time(until)],
  );
}
