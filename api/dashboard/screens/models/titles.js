// What the service calls parts of models, and says of presets and memory, in the language of the page.

import { language } from "../../app/i18n.js";

const known = language === "zh" ? await import("../../locales/zh_titles.js") : null;

/** The same in the language of the page; what is not known there stays as it is. @param {string} text @returns {string} */
export function titled(text) {
  if (!known) return text;
  const whole = known.sentences[text];
  if (whole) return whole;
  const [pattern, form] = known.parts.find(([each]) => each.test(text)) ?? [];
  const found = pattern && form ? text.replace(pattern, form) : text;
  return known.within.reduce((told, [each, words]) => told.replace(each, words), found);
}
