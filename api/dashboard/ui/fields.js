// Fields of forms.

import { labelFor } from "../app/i18n.js";
import { h } from "./dom.js";

/** @param {string} label @param {HTMLElement} input must have an id @param {...Child} below the input: a hint, suggestions */
export const field = (label, input, ...below) =>
  h(
    "div.field",
    h("label", { for: input.id }, label),
    input,
    below.map((each) =>
      typeof each === "string" && each ? h("p.faint.tiny", { id: `${input.id}-hint` }, each) : each,
    ),
  );

/** Tags separated by commas, each once. @param {string} text */
export const splitTags = (text) => [...new Set(text.split(/[,，]/).map((tag) => tag.trim()))].filter(Boolean);

/** @param {Properties} attributes */
export const textInput = (attributes) => h("input.input", { type: "text", autocomplete: "off", ...attributes });

/** @param {Properties} attributes */
export const numberInput = (attributes) =>
  h("input.input", { type: "number", inputmode: "decimal", step: "any", ...attributes });

/** @typedef {readonly [value: string|number, label: string]} Option */

/** @param {readonly Option[]} choices @param {Properties} [attributes] @param {string|number} [chosen] */
export const selectInput = (choices, attributes, chosen) => h("select.input", attributes, options(choices, chosen));

/**
 * The options of names that have texts.
 * @param {string} group of the texts @param {readonly string[]} names @returns {Option[]}
 */
export const labelled = (group, names) => names.map((name) => [name, labelFor(group, name)]);

/** @param {readonly Option[]} choices @param {string|number|null} [chosen] */
export const options = (choices, chosen) =>
  choices.map(([value, label]) => h("option", { value, selected: value === chosen }, label));

/** Suggestions for an input. @param {string} id @param {readonly string[]} values */
export const datalist = (id, values) => h("datalist", { id }, suggestions(values));

/** @param {readonly string[]} values */
export const suggestions = (values) => values.map((value) => h("option", { value }));
