// The page's texts, in the chosen language or the browser's.

import { recall, remember } from "./settings.js";

const LANGUAGES = ["en", "zh"];

/** `en` or `zh`. */
export const language = choose();

// One file is enough, because both languages have the same keys. Only the Chinese one translates the service's sentences, by code.
/** @type {Record<string, string>} */
const words = await load(`../locales/${language}.json`);

document.documentElement.lang = language === "zh" ? "zh-CN" : "en";

function choose() {
  const chosen = LANGUAGES.find((each) => each === recall("language", ""));
  if (chosen) return chosen;
  return navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** @param {string} path relative to this module */
async function load(path) {
  const answer = await fetch(new URL(path, import.meta.url));
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}`);
  return answer.json();
}

/**
 * The text of a key. `{name}` is replaced by a value; `{n|item|items}` becomes singular or plural by the value of n.
 * @param {WordKey} key
 * @param {Record<string, string|number>} [values]
 */
export function t(key, values) {
  return filled(words[key] ?? key, values);
}

/**
 * Translates a sentence of the service by its code, which may be that of an error; without a translation returns the
 * sentence itself.
 * @param {string} sentence @param {API.Reason|null} [reason] the field `…_code` beside the sentence
 * @returns {string}
 */
export function translate(sentence, reason) {
  const text = reason && words[`service.${reason.code}`];
  if (text) return filled(text, reason.params);
  return reason ? errorText(reason.code, sentence, []) : sentence;
}

/**
 * Return an error's message in the page's language.
 * @param {string} code @param {string} message the service's English message @param {string[]} details errors of single fields
 */
export function errorText(code, message, details) {
  const text = words[`api_error.${code}`];
  if (!text) return [message, ...details].filter(Boolean).join(" ");
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

/** Parameters of a sentence may be sentences themselves. @param {unknown} value @returns {string} */
export function shown(value) {
  if (Array.isArray(value)) return value.map(shown).join("；");
  if (typeof value !== "object" || value === null) return String(value);
  const sentence = /** @type {API.Reason & {text: string}} */ (value);
  return translate(sentence.text, sentence);
}

/**
 * The text of a key that may be missing, such as a status of a newer service; then the name itself.
 * @param {string} group @param {string|null|undefined} name
 */
export function labelFor(group, name) {
  return words[`${group}.${name}`] ?? String(name ?? "–").replaceAll("_", " ");
}

/** Switches to a language and reloads the page. @param {string} wanted */
export function setLanguage(wanted) {
  remember("language", wanted);
  location.reload();
}
