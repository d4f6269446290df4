// What a change changed: each value before and afterwards, by its place.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { UNKNOWN } from "../../ui/format.js";

/** A value of a change; undefined: there was none. @typedef {{place: string, before: unknown, after: unknown}} Difference */

/**
 * The values within objects that differ, by their places.
 * @param {unknown} before @param {unknown} after @returns {Difference[]}
 */
export function differences(before, after, place = "") {
  if (!isObject(before) && !isObject(after)) {
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ place, before, after }];
  }
  // A value that becomes an object, or was one, is shown by what is in it.
  const [old, next] = [isObject(before) ? before : {}, isObject(after) ? after : {}];
  const names = new Set([...Object.keys(old), ...Object.keys(next)]);
  return [...names].flatMap((name) => differences(old[name], next[name], place ? `${place}.${name}` : name));
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {unknown} value */
const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** @param {unknown} before @param {unknown} after @returns {Child} */
export function differenceTable(before, after) {
  const found = differences(before ?? {}, after ?? {});
  if (!found.length) return null;
  return h(
    "table",
    { class: "table diff" },
    h(
      "thead",
      {},
      h("tr", {}, h("th", {}, t("diff.value")), h("th", {}, t("diff.before")), h("th", {}, t("diff.after"))),
    ),
    h(
      "tbody",
      {},
      found.map(({ place, before: old, after: next }) =>
        h("tr", {}, h("td", { class: "mono foreign" }, place || UNKNOWN), cell("del", old), cell("ins", next)),
      ),
    ),
  );
}

/** @param {"del"|"ins"} kind @param {unknown} value */
const cell = (kind, value) =>
  h("td", { class: "foreign" }, value === undefined || value === null ? UNKNOWN : h(kind, {}, shown(value)));
