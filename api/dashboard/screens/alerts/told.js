// What an alert says, in the language of the page: a rule that is built in has its sentences in Chinese, too, which are
// filled with what its English ones were filled with.

import { language } from "../../app/i18n.js";

/** `summary` is the sentence that says it all. @typedef {{title: string, summary: string, remedy: string}} Told */

/** A place of a sentence: `{metric}`, or `{metric:seconds}` for a duration in words. */
const PLACE = /\{(\w+)(?::(seconds|hours|days))?\}/g;

/** @type {Record<string, string>} */
const CHINESE_UNITS = { second: " 秒", minute: " 分钟", hour: " 小时", day: " 天" };

/** @type {typeof import("../../locales/zh_rules.js").rules} */
const chinese = language === "zh" ? (await import("../../locales/zh_rules.js")).rules : {};

/** The title of a rule, and its sentences with their places. @param {API.Rule} rule @returns {Told} */
export function tellRule(rule) {
  const own = rule.is_builtin ? chinese[rule.rule_id] : undefined;
  return own ? { title: own.title, summary: own.summary[1], remedy: own.remedy[1] } : rule;
}

/** How alerts end whose rules have no sentence for that. @type {[english: string, chinese: string][]} */
const ENDINGS = [
  ["it is over", "已结束"],
  ["what it was about no longer exists", "对象已不存在"],
  ["its rule was deleted or switched off", "规则已删除或停用"],
  ["{task} is no longer running", "{task} 已不在运行"],
];

/** The sentence for the end of an alert. @param {API.Alert} alert */
export function tellEnd(alert) {
  const end = alert.resolution ?? ENDINGS[0][0];
  const pairs = [...ENDINGS, ...(chinese[alert.rule_id]?.resolved ? [chinese[alert.rule_id].resolved] : [])];
  const said = language === "zh" ? pairs.reduce((text, pair) => (pair ? refill(text, ...pair) : text), end) : end;
  const isPlain = ENDINGS.slice(0, 3).some(([english]) => english === end);
  return isPlain ? `${tellAlert(alert).title}: ${said}` : said;
}

/** @param {API.Alert} alert @returns {Told} */
export function tellAlert(alert) {
  const own = chinese[alert.rule_id];
  if (!own) return alert;
  const at = alert.title.indexOf(": ");
  return {
    title: at < 0 ? own.title : `${own.title}${alert.title.slice(at)}`,
    summary: refill(alert.summary, ...own.summary),
    remedy: refill(alert.remedy, ...own.remedy),
  };
}

/** A sentence made of one template, as another says it; the sentence itself where it is not made of it. @param {string} sentence @param {string} template @param {string} other */
export function refill(sentence, template, other) {
  const places = [...template.matchAll(PLACE)].map(([, name, unit]) => [name, unit]);
  const pattern = template
    .split(/\{[\w:]+\}/)
    .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join("(.*?)");
  // What its rule does is said behind it.
  const found = new RegExp(`^${pattern}( By its rule .*)?$`, "s").exec(sentence);
  if (!found) return sentence;
  const values = new Map(
    places.map(([name, unit], i) => [name, unit ? lasting(found[i + 1]) : inChinese(found[i + 1])]),
  );
  return (other + (found.at(-1) ?? "")).replace(PLACE, (whole, name) => values.get(name) ?? whole);
}

/** @type {Record<string, string>} */
const CHINESE_WORDS = {
  "GPU out of memory": "GPU 显存不足",
  "Try a smaller batch or resolution, or a higher blocks_to_swap.": "请减小批次或分辨率，或提高 blocks_to_swap。",
};

/** Words of the service in a sentence, as Chinese says them. @param {string} words */
const inChinese = (words) => CHINESE_WORDS[words] ?? words.replace(/^ at step (\d+)$/, "（第 $1 步）");

/** A duration in the words of the service, as Chinese says it. @param {string} words */
const lasting = (words) => words.replace(/ (second|minute|hour|day)s?\b/g, (_, unit) => CHINESE_UNITS[unit] ?? "");
