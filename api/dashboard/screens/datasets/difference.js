// The difference of two texts in one line.

import { h } from "../../ui/dom.js";

/** @param {string|null} before @param {string|null} after @returns {Child} */
export function difference(before, after) {
  const [old, now] = [split(before ?? ""), split(after ?? "")];
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  const [removed, added] = [old.slice(start, old.length - end).join(""), now.slice(start, now.length - end).join("")];
  return [
    now.slice(0, start).join(""),
    removed && h("del", removed),
    added && h("ins", added),
    now.slice(now.length - end).join(""),
  ];
}

/** Tokens: words and separators; single characters for scripts without spaces. @param {string} text */
const split = (text) => text.match(/[\p{L}\p{N}_]+|[^\p{L}\p{N}_]/gu) ?? [];
