// A time: local, with UTC as tooltip.

import { h, setAttribute, setText } from "./dom.js";
import { localTime, utcTime } from "./format.js";

/** @param {string|null} iso @param {(iso: string|null) => string} show */
export function time(iso, show = localTime) {
  const element = h("time");
  setTime(element, iso, show);
  return element;
}

/** @param {Element} element @param {string|null} iso @param {(iso: string|null) => string} show */
export function setTime(element, iso, show = localTime) {
  setText(element, show(iso));
  setAttribute(element, "datetime", iso);
  setAttribute(element, "title", utcTime(iso));
}
