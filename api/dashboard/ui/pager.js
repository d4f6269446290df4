// Which stretch of a list is shown, and the ways to its neighbours.

import { t } from "../app/i18n.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { icon } from "./icons.js";

/**
 * @param {object} page
 * @param {number} page.offset of the first row that is shown
 * @param {number} page.limit rows a page
 * @param {number} page.shown rows
 * @param {number} page.total
 * @param {boolean} page.hasMore
 * @param {(by: number) => void} page.turn called with the rows to go on, or back
 * @returns {Child}
 */
export function pager({ offset, limit, shown, total, hasMore, turn }) {
  const from = count(offset + 1);
  const words = t("page.of", { from, to: count(offset + shown), total: count(total) });
  return [
    h("span", { class: "soft small" }, words),
    button("left", t("page.back"), offset === 0, () => turn(-limit)),
    button("right", t("page.on"), !hasMore, () => turn(limit)),
  ];
}

/**
 * The same for an answer with one page of a list; nothing where the list is not longer.
 * @param {{offset: number, limit: number}} asked
 * @param {number} shown rows
 * @param {{total: number, has_more: boolean}} pagination
 * @param {(offset: number) => unknown} goTo shows the page from this row on
 * @returns {Child}
 */
export const pagerOf = ({ offset, limit }, shown, { total, has_more: hasMore }, goTo) =>
  total > limit && pager({ offset, limit, shown, total, hasMore, turn: (by) => goTo(Math.max(0, offset + by)) });

/** @param {"left"|"right"} name @param {string} label @param {boolean} disabled @param {() => void} click */
const button = (name, label, disabled, click) =>
  h("button", { class: "icon-button small", "aria-label": label, disabled, on: { click } }, icon(name));
