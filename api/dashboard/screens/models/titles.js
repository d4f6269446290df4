// Translates the names of model parts, and the notes of presets and memory.

import { language } from "../../app/i18n.js";

const known = language === "zh" ? await import("../../locales/zh_titles.js") : null;

/** Translates a text; unknown texts are returned unchanged. @param {string} text @returns {string} */
export function titled(text) {
  if (!known) return text;
  const whole = known.sentences[text];
  if (whole) return whole;
  const [pattern, form] = known.parts.find(([each]) => each.test(text)) ?? [];
  const found = pattern && form ? text.replace(pattern, form) : text;
  return known.within.reduce((text, [each, replacement]) => text.replace(each, replacement), found);
}
