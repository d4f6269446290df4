// Shared parts of the lists of jobs and caches.

import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { polling } from "../../ui/polling.js";

/**
 * A list below its heading, hidden while empty, and polled while an entry is in progress.
 * @template T
 * @param {string} title @param {string} className of the list
 * @param {{ask: () => Promise<T[]>, row: (each: T) => Node, isActive: (each: T) => boolean, pauseMs: number, shown?: (all: T[]) => void}} options
 */
export function polledList(title, className, { ask, row, isActive, pauseMs, shown }) {
  const list = h("ul", { class: className });
  const element = h("div.stack", { hidden: true }, h("h2", title), list);
  let drawn = "";
  const poll = polling(
    ask,
    (found) => {
      element.hidden = found.length === 0;
      const key = JSON.stringify(found);
      if (key !== drawn) fill(list, found.map(row));
      drawn = key;
      shown?.(found);
      return found.some(isActive);
    },
    pauseMs,
  );
  return { element, ...poll };
}

/** @typedef {[tone: string, sign: import("../../ui/icons.js").IconName]} Look */

/** @param {Look} look @param {string} chipText */
export const lookChip = ([tone, sign], chipText) =>
  h("span.status.chip", { data: { tone } }, icon(sign, sign === "spin" ? "spin" : ""), chipText);
