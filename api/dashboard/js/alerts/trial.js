// What a rule would have told within the last day.

import { note } from "../components/status.js";
import { table } from "../components/table.js";
import { time } from "../components/time.js";
import { h } from "../dom.js";
import { count, duration, figure, seconds } from "../format.js";
import { t } from "../i18n.js";

/** Targets that are named. */
const NAMED = 8;
/** Periods that are shown, the latest first. */
const ROWS = 12;

/** @param {API.Trial} trial */
export function trialView(trial) {
  const { tried, would_have_fired: times, periods, breaching_now: now, unknown_now: unknown } = trial;
  const hours = trial.since ? (Date.parse(trial.until) - Date.parse(trial.since)) / 3_600_000 : 0;
  const span = duration(hours * 3600);
  const words = !tried
    ? t("trial.no_history")
    : !trial.since
      ? t("trial.nothing_known")
      : times
        ? t(times === 1 ? "trial.once" : "trial.times", { n: count(times), span })
        : t("trial.never", { span });
  return h(
    "div",
    { class: "stack trial", "aria-live": "polite" },
    note(
      times || now.length ? "warn" : tried ? "ok" : "idle",
      h("strong", {}, words),
      h("p", {}, now.length ? t("trial.now", { what: named(now) }) : t("trial.now.none")),
      unknown.length > 0 && h("p", {}, t("trial.unknown", { what: named(unknown) })),
    ),
    periods.length > 0 && periodTable(periods),
  );
}

/** @param {readonly string[]} targets */
const named = (targets) =>
  targets.slice(0, NAMED).join(", ") + (targets.length > NAMED ? ` ${t("more", { n: targets.length - NAMED })}` : "");

/** @param {API.Trial["periods"]} periods */
function periodTable(periods) {
  const rows = periods
    .slice(-ROWS)
    .toReversed()
    .map(({ target, since, until, peak }) =>
      h(
        "tr",
        {},
        h("td", { class: "foreign" }, target.replace(/^.*?: /, "")),
        h("td", {}, time(since)),
        h("td", {}, until ? duration((seconds(until) ?? 0) - (seconds(since) ?? 0)) : t("trial.still")),
        h("td", { class: "num" }, figure(peak)),
      ),
    );
  const heads = [
    { label: t("alert.target") },
    { label: t("alert.began") },
    { label: t("duration") },
    { label: t("alert.peak"), isNumber: true },
  ];
  return table(heads, rows);
}
