// A list of named resources with search, owner filter, pages and keyboard navigation.

import { access } from "../app/access.js";
import { t } from "../app/i18n.js";
import { storeQuery } from "../app/router.js";
import { fill, h, reconcile, setAttribute } from "./dom.js";
import { count } from "./format.js";
import { icon } from "./icons.js";
import { pagerOf } from "./pager.js";
import { panel } from "./panel.js";
import { searchField } from "./search_field.js";

const ROWS = 50;

/** @typedef {{element: HTMLElement, link: HTMLAnchorElement, update: (row: any) => void}} NamedRow */

/**
 * The kind of resource.
 * @template {{name: string}} Named
 * @typedef {object} Kind
 * @property {string} address of the screen, such as /data
 * @property {string} title
 * @property {(values: API.Query) => Promise<{rows: Named[], pagination: API.DatasetList["pagination"]}>} list
 * @property {(row: Named, changed: () => void) => NamedRow} newRow
 * @property {() => Child} nothing the empty state
 * @property {Node} [tools] content in the head of the list
 * @property {(rows: Named[], isWhole: boolean) => void} [drawn]
 */

/**
 * @template {{name: string}} Named
 * @param {import("../app/main.js").App} app @param {import("../app/router.js").Place} place @param {Kind<Named>} kind
 */
export function namedList(app, place, kind) {
  const wanted = { search: place.query.get("search") ?? "", owner: place.query.get("owner") ?? "" };
  let offset = 0;
  let requests = 0;
  /** @type {Map<string, NamedRow>} */
  const parts = new Map();
  const total = h("span.count-badge");
  const rows = h("ul.dataset-rows");
  const [none, foot] = [h("div"), h("div.pager")];
  const search = searchField(t("data.search"), wanted.search, (text) => apply({ search: text }));
  const mine = h(
    "button.button",
    { type: "button", on: { click: () => apply({ owner: wanted.owner ? "" : "me" }) } },
    icon("user"),
    t("filter.mine"),
  );
  const unwatchAccess = access.watch((known) => {
    mine.hidden = !known?.isRequired;
  });

  /** @param {Partial<typeof wanted>} change */
  function apply(change) {
    Object.assign(wanted, change);
    search.input.value = wanted.search;
    offset = 0;
    storeQuery(kind.address, wanted);
    showMine();
    refetchOrRetry();
  }
  const showMine = () => setAttribute(mine, "aria-pressed", String(wanted.owner === "me"));
  showMine();
  const refetchOrRetry = () => refetch().catch(() => app.stream.retry());

  /** @returns {Promise<void>} */
  async function refetch() {
    const own = ++requests;
    // `me` is the signed-in user; without sign-in there are no owners.
    const owner = wanted.owner === "me" ? access.value?.who?.user_id : "";
    const { rows: found, pagination } = await kind.list({ search: wanted.search, owner, limit: ROWS, offset });
    if (own !== requests) return;
    if (!found.length && offset > 0) {
      offset = Math.max(0, offset - ROWS);
      return refetch();
    }
    reconcile(
      rows,
      parts,
      found,
      ({ name }) => name,
      (/** @type {Named} */ row) => kind.newRow(row, refetchOrRetry),
    );
    fill(total, count(pagination.total));
    kind.drawn?.(found, pagination.total === found.length);
    fill(none, found.length === 0 && (wanted.search || wanted.owner ? noMatch(clear) : kind.nothing()));
    const goTo = (/** @type {number} */ to) => {
      offset = to;
      refetchOrRetry();
    };
    fill(foot, pagerOf({ offset, limit: ROWS }, found.length, pagination, goTo));
    foot.hidden = pagination.total <= ROWS;
  }

  function clear() {
    apply({ search: "", owner: "" });
    search.input.focus();
  }

  /** Moves the selection, for the keys j and k. @param {number} step */
  function move(step) {
    const links = [...parts.values()].map(({ link }) => link);
    const at = links.indexOf(/** @type {HTMLAnchorElement} */ (document.activeElement));
    links[Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
  }

  return {
    filters: h("div.filters", search.element, mine),
    panel: panel("datasets", kind.title, [total, kind.tools], rows, none, foot),
    keys: { j: () => move(1), k: () => move(-1) },
    refetch,
    refetchOrRetry,
    close() {
      search.close();
      unwatchAccess();
    },
  };
}

/** @param {() => void} clear */
const noMatch = (clear) =>
  h(
    "div.empty",
    icon("search"),
    h("p", t("filter.none")),
    h("button.button", { on: { click: clear } }, t("filter.clear")),
  );
