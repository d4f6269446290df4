// Text of the service, with `code` between backticks set as code.

import { h } from "./dom.js";

/** @param {string} text @returns {(string|HTMLElement)[]} */
export const prose = (text) => text.split(/`([^`]+)`/).map((part, i) => (i % 2 ? h("code", part) : part));
