// The texts of the page, in the browser's language or the one that was chosen.

import { recall, remember } from "./settings.js";

const LANGUAGES = ["en", "zh"];

/** `en` or `zh`. */
export const language = choose();

// One file is enough: both have the same keys. The Chinese one also has what the service says, by its code.
/** @type {Record<string, string>} */
const words = await load(`../locales/${language}.json`);

document.documentElement.lang = language === "zh" ? "zh-CN" : "en";

function choose() {
  const chosen = LANGUAGES.find((each) => each === recall("language", ""));
  if (chosen) return chosen;
  return navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** @param {string} path beside this module */
async function load(path) {
  const answer = await fetch(new URL(path, import.meta.url));
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}`);
  return answer.json();
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
  const text = what && words[`service.${what.code}`];
  return text ? filled(text, what.params) : sentence;
}

/**
 * Return an error's message in the page's language.
 * @param {string} code @param {string} message the service's own @param {string[]} details what is wrong in the request
 */
export function errorText(code, message, details) {
  const text = words[`api_error.${code}`];
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
  return words[`${group}.${name}`] ?? String(name ?? "–").replaceAll("_", " ");
}

/** Takes the other language; the page draws itself anew. */
export function switchLanguage() {
  remember("language", language === "zh" ? "en" : "zh");
  location.reload();
}
