// The part of the channel form that all kinds share: filter, quiet hours, and frequency.

import { labelFor, t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { field, selectInput } from "../../ui/fields.js";
import { checkField, lastingField } from "./fields.js";
import { matcherFields } from "./matchers.js";

const SEVERITIES = ["info", "warning", "critical"];
const MINUTE = 60;
const HOUR = 3600;
const REPEATS = [HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR, 72 * HOUR, null];

/** The service's defaults. */
const DEFAULTS = {
  min_severity: "warning",
  send_resolved: true,
  only_opted_in: false,
  group_wait_seconds: 30,
  critical_wait_seconds: 5,
  per_minute: 6,
  per_hour: 60,
  repeat_critical_seconds: /** @type {number|null} */ (4 * HOUR),
  repeat_warning_seconds: /** @type {number|null} */ (24 * HOUR),
  quiet_hours: /** @type {API.Channel["quiet_hours"]} */ (null),
  matchers: /** @type {readonly API.Matcher[]} */ ([]),
};

/** @param {API.Channel|null} channel null: a new one */
export function channelSettings(channel) {
  const given = channel ?? DEFAULTS;
  const severity = selectInput(
    SEVERITIES.map((value) => [value, t(`channel.from.${/** @type {"info"} */ (value)}`)]),
    { id: "channel-severity" },
    given.min_severity,
  );
  const resolved = checkField("channel-resolved", t("channel.resolved"), given.send_resolved);
  const optedIn = checkField("channel-opted", t("channel.opted"), given.only_opted_in);
  const now = { zero: t("channel.at_once") };
  const never = { never: t("channel.never") };
  const wait = lastingField("channel-wait", [0, 30, MINUTE, 5 * MINUTE], given.group_wait_seconds, now);
  const criticalWait = lastingField("channel-critical-wait", [0, 5, 30], given.critical_wait_seconds, now);
  const critical = lastingField("channel-critical", REPEATS, given.repeat_critical_seconds, never);
  const warning = lastingField("channel-warning", REPEATS, given.repeat_warning_seconds, never);
  const most = (/** @type {string} */ id, /** @type {number} */ value) =>
    h("input.input", { id, type: "number", min: 1, max: 10_000, step: 1, required: true, value });
  const [perMinute, perHour] = [most("channel-minute", given.per_minute), most("channel-hour", given.per_hour)];
  const quiet = quietHours(given.quiet_hours);
  const matchers = matcherFields([...given.matchers], true);

  const element = h(
    "div.stack",
    h("div.pair.wide", field(t("channel.severity"), severity)),
    h("div.stack.tight", resolved.element, optedIn.element),
    quiet.element,
    h(
      "details",
      h("summary.label", t("channel.often")),
      h(
        "div.stack",
        h(
          "div.pair.wide",
          field(t("channel.wait"), wait.input, t("channel.wait.hint")),
          field(t("channel.critical_wait"), criticalWait.input),
          field(t("channel.repeat.critical"), critical.input),
          field(t("channel.repeat.warning"), warning.input),
          field(t("channel.minute"), perMinute),
          field(t("channel.hour"), perHour, t("channel.most.hint")),
        ),
      ),
    ),
    h("details", { open: given.matchers.length > 0 }, h("summary.label", t("channel.matchers")), matchers.element),
  );
  return {
    element,
    /** @returns {API.ChannelChange} */
    values: () => ({
      min_severity: /** @type {API.Severity} */ (severity.value),
      send_resolved: resolved.input.checked,
      only_opted_in: optedIn.input.checked,
      group_wait_seconds: wait.value(),
      critical_wait_seconds: criticalWait.value(),
      repeat_critical_seconds: critical.value(),
      repeat_warning_seconds: warning.value(),
      per_minute: perMinute.valueAsNumber,
      per_hour: perHour.valueAsNumber,
      quiet_hours: quiet.value(),
      matchers: /** @type {API.ChannelChange["matchers"]} */ (matchers.values()),
    }),
  };
}

/** @param {API.Channel["quiet_hours"]} given */
function quietHours(given) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const known = h(
    "datalist",
    { id: "time-zones" },
    (Intl.supportedValuesOf?.("timeZone") ?? []).map((value) => h("option", { value })),
  );
  const zone = h("input.input", { id: "quiet-zone", list: known.id, value: given?.zone ?? here, maxlength: 64 });
  const clock = (/** @type {string} */ id, /** @type {string} */ value) =>
    h("input.input", { id, type: "time", value });
  const [begins, ends] = [clock("quiet-begins", given?.begins ?? "22:00"), clock("quiet-ends", given?.ends ?? "07:00")];
  const is = checkField("channel-quiet", t("channel.quiet"), given !== null);
  const times = h(
    "div.pair",
    known,
    field(t("channel.quiet.begins"), begins),
    field(t("channel.quiet.ends"), ends),
    field(t("channel.quiet.zone"), zone),
  );
  const show = () => {
    times.hidden = !is.input.checked;
    for (const input of [zone, begins, ends]) input.required = is.input.checked;
  };
  is.input.addEventListener("change", show);
  show();
  return {
    element: h("div.stack.tight", is.element, times),
    value: () => (is.input.checked ? { zone: zone.value.trim(), begins: begins.value, ends: ends.value } : null),
  };
}

/** The settings of a channel in one line. @param {API.Channel} channel */
export function settingsText(channel) {
  const { quiet_hours: quiet, matchers, min_severity: severity } = channel;
  return [
    labelFor("channel.from", severity),
    channel.only_opted_in && t("channel.opted.short"),
    quiet && t("channel.quiet.short", { begins: quiet.begins, ends: quiet.ends, zone: quiet.zone }),
    matchers.length > 0 && matchers.map(({ label, value }) => `${label} = ${value}`).join(", "),
  ]
    .filter(Boolean)
    .join(" · ");
}
