// The audit log: changes, rejected requests, and the verification of the chain.

import { api } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { count, localTime, UNKNOWN } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { pager } from "../../ui/pager.js";
import { empty, loading, stackedTable } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { time } from "../../ui/time.js";
import { attempt } from "../../ui/toast.js";

const ROWS = 25;
const TYPING_MS = 300;
const TONES = { done: "ok", refused: "bad", dropped: "warn" };
const SIGNS = /** @type {const} */ ({ done: "check", refused: "cross", dropped: "warn" });
/** Time ranges that the service accepts. */
const SINCE = /** @type {const} */ (["", "1h", "1d", "7d", "30d"]);
/** Each part has 100,000 entries: more parts than this indicate an error. */
const MAX_PARTS = 1000;

export function auditPanel() {
  const [body, foot, verdict] = [
    h("div", {}, loading()),
    h("div", { class: "pager" }),
    h("div", { "aria-live": "polite" }),
  ];
  const total = h("span", { class: "count-badge" });
  const filter = auditFilter(() => {
    cursors.length = 0;
    attempt(refetch);
  });
  /** Cursors of the pages after the first, up to the current one. @type {string[]} */
  const cursors = [];
  let requests = 0;

  async function refetch() {
    const mine = ++requests;
    const found = await api.audit({ ...filter.values(), limit: ROWS, cursor: cursors.at(-1) });
    if (mine !== requests) return;
    const { entries, pagination } = found;
    fill(total, count(pagination.total));
    fill(
      body,
      entries.length ? stackedTable(HEADS(), entries.map(row), "audit-table") : empty("list", t("audit.none")),
    );
    const turn = (/** @type {number} */ by) => {
      if (by < 0) cursors.pop();
      else if (pagination.next_cursor) cursors.push(pagination.next_cursor);
      attempt(refetch);
    };
    const page = { offset: cursors.length * ROWS, limit: ROWS, shown: entries.length, total: pagination.total };
    fill(foot, (cursors.length > 0 || pagination.has_more) && pager({ ...page, hasMore: pagination.has_more, turn }));
  }

  const button = h(
    "button",
    { class: "button small", on: { click: () => attempt(verify) } },
    icon("check"),
    t("audit.verify"),
  );
  async function verify() {
    button.disabled = true;
    try {
      fill(
        verdict,
        verdictNote(await walk((checked) => fill(verdict, note("run", t("audit.checking", { n: count(checked) }))))),
      );
    } finally {
      button.disabled = false;
    }
  }

  const element = h(
    "section",
    { class: "panel access-list", "aria-label": t("audit") },
    h("header", {}, h("h2", {}, t("audit")), total, h("div", { class: "tools" }, filter.element, button)),
    verdict,
    body,
    foot,
  );
  return { element, refetch, close: filter.close };
}

/** @param {() => void} changed */
function auditFilter(changed) {
  const changedSoon = soon(changed, TYPING_MS);
  const text = (/** @type {"actor"|"operation"} */ name) =>
    h("input", {
      class: "input",
      type: "search",
      maxlength: 200,
      placeholder: t(`audit.${name}`),
      "aria-label": t(`audit.${name}`),
      on: { input: changedSoon },
    });
  const [actor, operation] = [text("actor"), text("operation")];
  const outcome = h(
    "select",
    { class: "input", "aria-label": t("audit.outcome"), on: { change: changed } },
    h("option", { value: "" }, t("audit.outcome.all")),
    Object.keys(TONES).map((value) => h("option", { value }, labelFor("outcome", value))),
  );
  const since = h(
    "select",
    { class: "input", "aria-label": t("audit.since"), on: { change: changed } },
    SINCE.map((value) => h("option", { value }, value ? labelFor("since", value) : t("audit.since.all"))),
  );
  return {
    element: h("div", { class: "audit-filter" }, actor, operation, outcome, since),
    values: () => ({
      actor: actor.value.trim(),
      operation: operation.value.trim(),
      outcome: outcome.value,
      since: since.value,
    }),
    close: changedSoon.cancel,
  };
}

const HEADS = () => [
  { label: t("time") },
  { label: t("audit.actor") },
  { label: t("audit.operation") },
  { label: t("audit.outcome") },
  { label: t("audit.from") },
];

/** @param {API.AuditRow} entry */
function row(entry) {
  const { outcome, code, object, count: times } = entry;
  return h(
    "tr",
    { data: { row: String(entry.id) } },
    h("td", {}, time(entry.at)),
    h("td", { class: "foreign" }, h("strong", {}, entry.actor)),
    h(
      "td",
      {},
      h(
        "details",
        {},
        h("summary", {}, h("code", { class: "foreign" }, entry.operation), object && [" ", objectName(object)]),
        differenceTable(entry.before, entry.after),
        facts(entry),
      ),
    ),
    h(
      "td",
      {},
      h(
        "span",
        { class: "status chip", data: { tone: TONES[outcome] } },
        icon(SIGNS[outcome]),
        labelFor("outcome", outcome),
      ),
      times > 1 && h("span", { class: "soft small" }, ` × ${count(times)}`),
      code && h("div", { class: "faint tiny mono" }, code),
    ),
    h("td", { class: "mono small foreign" }, entry.address),
  );
}

/** @param {string} id */
const objectName = (id) =>
  /^(train|cache)_/.test(id)
    ? h("a", { class: "foreign", href: taskAddress(id) }, id)
    : h("span", { class: "soft foreign" }, id);

/** @param {API.AuditRow} entry */
function facts({ id, key_id: key, request_id: request, hash }) {
  const known = /** @type {[WordKey, string|null][]} */ ([
    ["audit.row", String(id)],
    ["key.name", key],
    ["audit.request", request],
    ["audit.hash", hash],
  ]);
  return h(
    "dl",
    { class: "facts" },
    known.map(([name, value]) => value && [h("dt", {}, t(name)), h("dd", { class: "mono foreign" }, value)]),
  );
}

/**
 * Verifies all entries, part by part.
 * @param {(checked: number) => void} reportChecked @returns {Promise<API.ChainVerdict>}
 */
async function walk(reportChecked) {
  let checked = 0;
  let verdict = await api.verifyAudit(null);
  for (let part = 1; verdict.ok && verdict.next_cursor && part < MAX_PARTS; part += 1) {
    checked += verdict.checked;
    reportChecked(checked);
    verdict = await api.verifyAudit(verdict.next_cursor);
  }
  return { ...verdict, checked: checked + verdict.checked };
}

/** @param {API.ChainVerdict} verdict */
function verdictNote({ ok, checked, kept_since: since, bad_id: bad, problem, problem_code: code }) {
  if (ok) return note("ok", h("p", {}, t("audit.holds", { n: count(checked), time: localTime(since) })));
  return note(
    "bad",
    h("strong", {}, t("audit.broken", { id: String(bad ?? "") })),
    h("p", { class: "foreign" }, translate(problem ?? "", code)),
  );
}

/** A changed value; undefined means absent. @typedef {{path: string, before: unknown, after: unknown}} Difference */

/**
 * The differing values within two objects, by path.
 * @param {unknown} before @param {unknown} after @returns {Difference[]}
 */
function differences(before, after, path = "") {
  if (!isObject(before) && !isObject(after)) {
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
  }
  // A value that becomes an object, or was one, is shown by its fields.
  const [old, next] = [isObject(before) ? before : {}, isObject(after) ? after : {}];
  const names = new Set([...Object.keys(old), ...Object.keys(next)]);
  return [...names].flatMap((name) => differences(old[name], next[name], path ? `${path}.${name}` : name));
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {unknown} value */
const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** @param {unknown} before @param {unknown} after @returns {Child} */
function differenceTable(before, after) {
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
      found.map(({ path, before: old, after: next }) =>
        h("tr", {}, h("td", { class: "mono foreign" }, path || UNKNOWN), cell("del", old), cell("ins", next)),
      ),
    ),
  );
}

/** @param {"del"|"ins"} kind @param {unknown} value */
const cell = (kind, value) =>
  h("td", { class: "foreign" }, value === undefined || value === null ? UNKNOWN : h(kind, {}, shown(value)));
