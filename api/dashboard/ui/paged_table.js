// A table of a list that the service returns in pages.

import { fill, h } from "./dom.js";
import { count } from "./format.js";
import { pager } from "./pager.js";
import { loading, stackedTable } from "./states.js";
import { attempt } from "./toast.js";

/** @typedef {{total: number, has_more: boolean, next_cursor?: string|null}} Pagination */

/**
 * @template Row
 * @param {object} options
 * @param {string} options.className of the table
 * @param {readonly string[]} options.heads
 * @param {(row: Row) => HTMLElement} options.row
 * @param {() => Child} options.none shown in place of an empty table
 * @param {(page: {limit: number, offset: number, cursor?: string}) => Promise<{rows: Row[], pagination: Pagination}>} options.ask
 *   `cursor` is the end of the page before, for lists that have cursors
 */
export function pagedTable({ className, heads, row, none, ask }) {
  const limit = 25;
  const [body, foot, total] = [h("div", loading()), h("div.pager"), h("span.count-badge")];
  /** Cursors of the pages after the first, up to the one shown. @type {(string|undefined)[]} */
  const cursors = [];
  let requests = 0;

  async function refetch() {
    const mine = ++requests;
    const at = cursors.length;
    const offset = at * limit;
    const { rows, pagination } = await ask({ limit, offset, cursor: cursors.at(-1) });
    if (mine !== requests) return;
    fill(total, count(pagination.total));
    fill(body, rows.length > 0 ? stackedTable(heads, rows.map(row), className) : none());
    const { total: all, has_more: hasMore, next_cursor: next } = pagination;
    const turn = (/** @type {number} */ by) => {
      // From the page shown, also on a second click before the other page has arrived.
      cursors.length = by < 0 ? at - 1 : at;
      if (by > 0) cursors.push(next ?? undefined);
      attempt(refetch);
    };
    fill(foot, (offset > 0 || hasMore) && pager({ offset, limit, shown: rows.length, total: all, hasMore, turn }));
  }

  return {
    body,
    foot,
    total,
    refetch,
    /** Shows the first page, after a filter changed. */
    restart() {
      cursors.length = 0;
      attempt(refetch);
    },
  };
}
