// The words of the page, in the browser's language or the one that was chosen.

import { recall, remember } from "./settings.js";

const LANGUAGES = ["en", "zh"];

/** `en` or `zh`. */
export const language = choose();

// One of them is enough: both have the same keys.
const { words } = await import(`./i18n/${language}.js`);
// The service's own sentences are English; each has a code, by which they are said in another language.
const { said } = language === "zh" ? await import("./i18n/zh_said.js") : { said: {} };
document.documentElement.lang = language === "zh" ? "zh-CN" : "en";

function choose() {
  const chosen = recall("language", "");
  if (LANGUAGES.includes(chosen)) return chosen;
  return navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/**
 * The text of a key; `{name}` in it is replaced.
 * @param {keyof typeof import("./i18n/en.js").words} key
 * @param {Record<string, string|number>} [values]
 */
export function t(key, values) {
  return filled(words[key] ?? key, values);
}

/**
 * A sentence of the service in the language of the page, by its code; the sentence itself where that is not known.
 * @param {string} sentence
 * @param {{code: string, params: Record<string, any>}|null} [what] what stands beside it as `…_code`
 */
export function tell(sentence, what) {
  return said[what?.code] ? filled(said[what.code], what.params) : sentence;
}

const filled = (text, values) =>
  values ? text.replace(/\{(\w+)\}/g, (whole, name) => (values[name] == null ? whole : shown(values[name]))) : text;

/** What stands in a sentence may be sentences. */
function shown(value) {
  if (Array.isArray(value)) return value.map(shown).join("；");
  return typeof value === "object" ? tell(value.text, value) : String(value);
}

/** The text of a key that may not be known, such as a status of a newer service: then the word itself. */
export function word(group, name) {
  return words[`${group}.${name}`] ?? String(name ?? "–").replaceAll("_", " ");
}

/** Takes the other language; the page draws itself anew. */
export function switchLanguage() {
  remember("language", language === "zh" ? "en" : "zh");
  location.reload();
}
