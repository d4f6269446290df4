// The words of the page, in the browser's language or the one that was chosen.

import { recall, remember } from "./settings.js";
import { learnStyle } from "./shell/style.js";

const LANGUAGES = ["en", "zh"];

/** `en` or `zh`. */
export const language = choose();

// One of them is enough: both have the same keys.
/** @type {{words: Record<WordKey, string>}} */
const { words } = await import(`../locales/${language}.js`);
// The service's own sentences are English; each has a code, by which they are said in another language.
/** @type {[{said: Record<string, string>}, {errors: Record<string, string>}]} */
const [{ said }, { errors }] =
  language === "zh"
    ? await Promise.all([import("../locales/zh_said.js"), import("../locales/zh_errors.js")])
    : [{ said: {} }, { errors: {} }];

/** Screens of datasets have words that no other needs. */
export async function learnDataWords() {
  const { dataWords } = await import(`../locales/${language}_data.js`);
  Object.assign(words, dataWords);
}

/** So have screens of models, and of a new training. */
export async function learnModelWords() {
  const { modelWords } = await import(`../locales/${language}_models.js`);
  Object.assign(words, modelWords);
}

/** And those of alerts, which are told without their styles where these cannot be had. */
export async function learnAlertWords() {
  const styled = learnStyle("alerts").catch(() => {});
  const [{ alertWords }] = await Promise.all([import(`../locales/${language}_alerts.js`), styled]);
  Object.assign(words, alertWords);
}

document.documentElement.lang = language === "zh" ? "zh-CN" : "en";

function choose() {
  const chosen = LANGUAGES.find((each) => each === recall("language", ""));
  if (chosen) return chosen;
  return navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/**
 * The text of a key; `{name}` in it is replaced, and `{n|item|items}` is the one word or the other by that number.
 * @param {WordKey} key
 * @param {Record<string, string|number>} [values]
 */
export function t(key, values) {
  return filled(words[key] ?? key, values);
}

/**
 * A sentence of the service in the language of the page, by its code; the sentence itself where that is not known.
 * @param {string} sentence @param {API.Reason|null} [what] what stands beside it as `…_code`
 * @returns {string}
 */
export function tell(sentence, what) {
  return what && said[what.code] ? filled(said[what.code], what.params) : sentence;
}

/**
 * Return an error's message in the page's language.
 * @param {string} code @param {string} message the service's own @param {string[]} details what is wrong in the request
 */
export function errorText(code, message, details) {
  const text = errors[code];
  if (!text) return [message, ...details].join(" ");
  const named = details.length === 0 && text.endsWith("：") ? [message] : details;
  return text + named.join(" ");
}

/** @param {string} text @param {Record<string, unknown>} [values] */
const filled = (text, values) =>
  values
    ? text.replace(/\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g, (whole, name, one, many) => {
        if (values[name] == null) return whole;
        return one === undefined ? shown(values[name]) : String(values[name]) === "1" ? one : many;
      })
    : text;

/** What stands in a sentence may be sentences. @param {unknown} value @returns {string} */
function shown(value) {
  if (Array.isArray(value)) return value.map(shown).join("；");
  if (typeof value !== "object" || value === null) return String(value);
  const sentence = /** @type {API.Reason & {text: string}} */ (value);
  return tell(sentence.text, sentence);
}

/**
 * The text of a key that may not be known, such as a status of a newer service: then the word itself.
 * @param {string} group @param {string|null|undefined} name
 */
export function word(group, name) {
  return words[/** @type {WordKey} */ (`${group}.${name}`)] ?? String(name ?? "–").replaceAll("_", " ");
}

/** Takes the other language; the page draws itself anew. */
export function switchLanguage() {
  remember("language", language === "zh" ? "en" : "zh");
  location.reload();
}
