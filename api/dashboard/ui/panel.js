// A section of a screen with a heading.

import { h } from "./dom.js";

/**
 * @param {string} className @param {string} title
 * @param {Child} beside the heading: a count, a text, tools
 * @param {...Child} content
 */
export const panel = (className, title, beside, ...content) =>
  h("section", { class: `panel ${className}`, "aria-label": title }, h("header", h("h2", title), beside), content);
