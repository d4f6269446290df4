// What an alert says, in the language of the page: a rule that is built in has its sentences in Chinese, too, which are
// filled with what its English ones were filled with.

import { language } from "../i18n.js";

/** @typedef {{title: string, summary: string, remedy: string}} Told */

/** @type {typeof import("../i18n/zh_rules.js").rules} */
const chinese = language === "zh" ? (await import("../i18n/zh_rules.js")).rules : {};

/** The title of a rule, and its sentences with their places. @param {API.Rule} rule @returns {Told} */
export function tellRule(rule) {
  const own = rule.is_builtin ? chinese[rule.rule_id] : undefined;
  return own ? { title: own.title, summary: own.summary[1], remedy: own.remedy[1] } : rule;
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
  const places = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const pattern = template
    .split(/\{\w+\}/)
    .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
    .join("(.*?)");
  // What its rule does is said behind it.
  const found = new RegExp(`^${pattern}( By its rule .*)?$`, "s").exec(sentence);
  if (!found) return sentence;
  const values = new Map(places.map((name, i) => [name, found[i + 1]]));
  return (other + (found.at(-1) ?? "")).replace(/\{(\w+)\}/g, (whole, name) => values.get(name) ?? whole);
}
