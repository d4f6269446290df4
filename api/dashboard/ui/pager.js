// Previous and next buttons of a list, with the range shown.

import { t } from "../app/i18n.js";
import { fill, h } from "./dom.js";
import { count } from "./format.js";
import { icon } from "./icons.js";

/**
 * @param {object} page
 * @param {number} page.offset of the first row shown
 * @param {number} page.limit rows per page
 * @param {number} page.shown number of rows shown
 * @param {number} page.total
 * @param {boolean} page.hasMore
 * @param {(by: number) => void} page.turn called with the number of rows to move
 * @returns {Child}
 */
export function pager({ offset, limit, shown, total, hasMore, turn }) {
  const from = count(offset + 1);
  const rangeText = t("page.of", { from, to: count(offset + shown), total: count(total) });
  return [
    h("span.soft.small", rangeText),
    h(
      "button.button.small",
      { disabled: offset === 0, on: { click: () => turn(-limit) } },
      icon("left"),
      t("page.previous"),
    ),
    h("button.button.small", { disabled: !hasMore, on: { click: () => turn(limit) } }, t("page.next"), icon("right")),
  ];
}

/**
 * A pager for a response with pagination; empty if there is only one page.
 * @param {{offset: number, limit: number}} pagination
 * @param {number} shown number of rows
 * @param {{total: number, has_more: boolean}} pagination
 * @param {(offset: number) => unknown} goTo shows the page that starts at this row
 * @returns {Child}
 */
export const pagerOf = ({ offset, limit }, shown, { total, has_more: hasMore }, goTo) =>
  total > limit && pager({ offset, limit, shown, total, hasMore, turn: (by) => goTo(Math.max(0, offset + by)) });

const ROWS = 25;

/** Pages of a list that is loaded as a whole, so that a long one does not fill the document. */
export function pages() {
  const foot = h("div.pager");
  let offset = 0;
  /**
   * @template Row
   * @param {Row[]} rows @param {(shown: Row[]) => unknown} draw draws the rows of a page
   */
  function update(rows, draw) {
    // The list may have become shorter.
    if (offset >= rows.length) offset = 0;
    const shown = rows.slice(offset, offset + ROWS);
    draw(shown);
    const pagination = { total: rows.length, has_more: offset + ROWS < rows.length };
    const goTo = (/** @type {number} */ wanted) => {
      offset = wanted;
      update(rows, draw);
    };
    fill(foot, pagerOf({ offset, limit: ROWS }, shown.length, pagination, goTo));
  }
  return { foot, update };
}
