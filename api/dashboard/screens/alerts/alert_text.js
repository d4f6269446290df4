// Translates the texts of alerts. The sentences of built-in rules have Chinese templates, which are filled with the
// alert's values. Ends of alerts, and alerts of earlier versions, have none: theirs are found in the English sentence.

import { language, shown, t } from "../../app/i18n.js";
import { duration } from "../../ui/format.js";

/** `summary` is the main sentence. @typedef {{title: string, summary: string, remedy: string}} AlertText */

/** A placeholder: `{metric}`, or `{metric:seconds}` for a duration as text. */
const PLACE = /\{(\w+)(?::(seconds|hours|days))?\}/g;

/** @type {Record<string, string>} */
const CHINESE_UNITS = { second: " 秒", minute: " 分钟", hour: " 小时", day: " 天" };

/** @type {typeof import("../../locales/zh_rules.js").rules} */
const chinese = language === "zh" ? (await import("../../locales/zh_rules.js")).rules : {};

/** The title of a rule, and its sentences with placeholders. @param {API.Rule} rule @returns {AlertText} */
export function translateRule(rule) {
  const own = rule.is_builtin ? chinese[rule.rule_id] : undefined;
  return own ? { title: own.title, summary: own.summary[1], remedy: own.remedy[1] } : rule;
}

/** Sentences for the end of alerts whose rule has none. @type {[english: string, chinese: string][]} */
const ENDINGS = [
  ["it is over", "已结束"],
  ["its target no longer exists", "对象已不存在"],
  ["its rule was deleted or switched off", "规则已删除或停用"],
  // Alerts that ended under an earlier version of the service have this text.
  ["what it was about no longer exists", "对象已不存在"],
  ["{task} is no longer running", "{task} 已不在运行"],
];

/** The sentence for the end of an alert. @param {API.Alert} alert */
export function translateEnd(alert) {
  const end = alert.resolution ?? ENDINGS[0][0];
  const pairs = [...ENDINGS, ...(chinese[alert.rule_id]?.resolved ? [chinese[alert.rule_id].resolved] : [])];
  const text = language === "zh" ? pairs.reduce((text, pair) => (pair ? refill(text, ...pair) : text), end) : end;
  const isPlain = ENDINGS.slice(0, 4).some(([english]) => english === end);
  return isPlain ? `${translateAlert(alert).title}${language === "zh" ? "：" : ": "}${text}` : text;
}

/** @param {API.Alert} alert @returns {AlertText} */
export function translateAlert(alert) {
  if (language !== "zh") return alert;
  const own = chinese[alert.rule_id];
  const title = translateTitle(alert, own?.title);
  if (!own) return { ...alert, title };
  return {
    title,
    summary: alert.values ? written(own.summary[1], alert.values) : refill(alert.summary, ...own.summary),
    remedy: alert.values
      ? [written(own.remedy[1], alert.values), shown(alert.values.actions ?? [])].filter(Boolean).join("")
      : refill(alert.remedy, ...own.remedy),
  };
}

/**
 * The title of the rule, and what the alert is about. @param {API.Alert} alert @param {string} [rule] its Chinese title
 */
function translateTitle({ title, labels }, rule) {
  const at = title.indexOf(": ");
  if (at < 0) return rule ?? title;
  const about = title.slice(at + 2).replace(` on ${labels.node}`, `（${labels.node}）`);
  return `${rule ?? title.slice(0, at)}：${about}`;
}

const FIGURE = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

/** Fills a template with the values of an alert. @param {string} template @param {Record<string, unknown>} values */
function written(template, values) {
  const text = template.replace(PLACE, (whole, name, unit) => {
    const value = values[name];
    if (value === undefined) return whole;
    if (value === null) return t("unknown");
    if (typeof value !== "number") return shown(value);
    return unit ? duration(value) : FIGURE.format(Math.abs(value) < 100 ? value : Math.round(value));
  });
  // A value may be a sentence with its own full stop.
  return text.replace(/[.。]。/g, "。").replace(/[^。！？.!?]$/, "$&。");
}

/**
 * Parses a sentence by one template and fills another with the values. Returns the sentence if it does not match.
 * @param {string} sentence @param {string} template @param {string} other
 */
export function refill(sentence, template, other) {
  const placeholders = [...template.matchAll(PLACE)].map(([, name, unit]) => [name, unit]);
  const pattern = template
    .split(/\{[\w:]+\}/)
    .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join("(.*?)");
  // The actions of the rule follow.
  const found = new RegExp(`^${pattern}( By its rule .*)?$`, "s").exec(sentence);
  if (!found) return sentence;
  const values = new Map(
    placeholders.map(([name, unit], i) => [name, unit ? durationInChinese(found[i + 1]) : inChinese(found[i + 1])]),
  );
  return (other + (found.at(-1) ?? "")).replace(PLACE, (whole, name) => values.get(name) ?? whole);
}

/** Translates text within a sentence. @param {string} text */
const inChinese = (text) => text.replace(/^ at step (\d+)$/, "（第 $1 步）");

/** Translates a duration. @param {string} text */
const durationInChinese = (text) =>
  text.replace(/ (second|minute|hour|day)s?\b/g, (_, unit) => CHINESE_UNITS[unit] ?? "");
