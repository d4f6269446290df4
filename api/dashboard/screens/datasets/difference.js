// What was taken out of a text and what came in, in one line.

import { h } from "../../ui/dom.js";

/** @param {string|null} before @param {string|null} after @returns {Child} */
export function difference(before, after) {
  const [old, now] = [split(before ?? ""), split(after ?? "")];
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  const [gone, came] = [old.slice(start, old.length - end).join(""), now.slice(start, now.length - end).join("")];
  return [
    now.slice(0, start).join(""),
    gone && h("del", {}, gone),
    came && h("ins", {}, came),
    now.slice(now.length - end).join(""),
  ];
}

/** Words with what is between them; characters where there are no spaces. @param {string} text */
const split = (text) => text.match(/[\p{L}\p{N}_]+|[^\p{L}\p{N}_]/gu) ?? [];
