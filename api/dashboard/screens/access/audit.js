// The audit log: changes, rejected requests, and the verification of the chain.

import { api } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { labelled, selectInput } from "../../ui/fields.js";
import { count, localTime, UNKNOWN } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { pagedTable } from "../../ui/paged_table.js";
import { panel } from "../../ui/panel.js";
import { empty } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { headings } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { attempt } from "../../ui/toast.js";

const TYPING_MS = 300;
const TONES = { done: "ok", refused: "bad", dropped: "warn" };
const SIGNS = /** @type {const} */ ({ done: "check", refused: "cross", dropped: "warn" });
/** Time ranges that the service accepts. */
const SINCE = /** @type {const} */ (["1h", "1d", "7d", "30d"]);
/** Each part has 100,000 entries: more parts than this indicate an error. */
const MAX_PARTS = 1000;

export function auditPanel() {
  const verdict = h("div", { "aria-live": "polite" });
  const filter = auditFilter(() => list.restart());
  const list = pagedTable({
    className: "audit-table",
    heads: headings("time", "audit.actor", "audit.operation", "audit.outcome", "audit.from"),
    row,
    none: () => empty("list", t("audit.none")),
    async ask({ limit, cursor }) {
      const { entries, pagination } = await api.audit({ ...filter.values(), limit, cursor });
      return { rows: entries, pagination };
    },
  });

  const button = h("button.button.small", { on: { click: () => attempt(verify) } }, icon("check"), t("audit.verify"));
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

  const element = panel(
    "access-list",
    t("audit"),
    [list.total, h("div.tools", filter.element, button)],
    verdict,
    list.body,
    list.foot,
  );
  return { element, refetch: list.refetch, close: filter.close };
}

/** @param {() => void} changed */
function auditFilter(changed) {
  const changedSoon = soon(changed, TYPING_MS);
  const text = (/** @type {"actor"|"operation"} */ name) =>
    h("input.input", {
      type: "search",
      maxlength: 200,
      placeholder: t(`audit.${name}`),
      "aria-label": t(`audit.${name}`),
      on: { input: changedSoon },
    });
  const [actor, operation] = [text("actor"), text("operation")];
  const outcome = selectInput([["", t("audit.outcome.all")], ...labelled("outcome", Object.keys(TONES))], {
    "aria-label": t("audit.outcome"),
    on: { change: changed },
  });
  const since = selectInput([["", t("audit.since.all")], ...labelled("since", SINCE)], {
    "aria-label": t("audit.since"),
    on: { change: changed },
  });
  return {
    element: h("div.audit-filter", actor, operation, outcome, since),
    values: () => ({
      actor: actor.value.trim(),
      operation: operation.value.trim(),
      outcome: outcome.value,
      since: since.value,
    }),
    close: changedSoon.cancel,
  };
}

/** @param {API.AuditRow} entry */
function row(entry) {
  const { outcome, code, object, count: times, via } = entry;
  return h(
    "tr",
    { data: { row: String(entry.id) } },
    h("td", time(entry.at)),
    h("td.foreign", h("strong", entry.actor)),
    h(
      "td",
      h(
        "details",
        h("summary", h("code.foreign", entry.operation)),
        differenceTable(entry.before, entry.after),
        facts(entry),
      ),
      object && objectName(object),
    ),
    h(
      "td",
      h("span.status.chip", { data: { tone: TONES[outcome] } }, icon(SIGNS[outcome]), labelFor("outcome", outcome)),
      times > 1 && h("span.soft.small", ` × ${count(times)}`),
      code && h("div.faint.tiny", { title: code }, labelFor("refusal", code)),
    ),
    h("td.mono.small.foreign", entry.address, via && h("div.faint.tiny", t("audit.via", { client: via }))),
  );
}

/** @param {string} id */
const objectName = (id) =>
  /^(train|cache)_/.test(id) ? h("a.foreign", { href: taskAddress(id) }, id) : h("span.soft.foreign", id);

/** @param {API.AuditRow} entry */
function facts({ id, key_id: key, request_id: request, hash }) {
  const known = /** @type {[WordKey, string|null][]} */ ([
    ["audit.row", String(id)],
    ["key.name", key],
    ["audit.request", request],
    ["audit.hash", hash],
  ]);
  return h(
    "dl.facts",
    known.map(([name, value]) => value && [h("dt", t(name)), h("dd.mono.foreign", value)]),
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
  if (ok) return note("ok", h("p", t("audit.holds", { n: count(checked), time: localTime(since) })));
  return note(
    "bad",
    h("strong", t("audit.broken", { id: String(bad ?? "") })),
    h("p.foreign", translate(problem ?? "", code)),
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
    "table.table.diff",
    h("thead", h("tr", h("th", t("diff.value")), h("th", t("diff.before")), h("th", t("diff.after")))),
    h(
      "tbody",
      found.map(({ path, before: old, after: next }) =>
        h("tr", h("td.mono.foreign", path || UNKNOWN), cell("del", old), cell("ins", next)),
      ),
    ),
  );
}

/** @param {"del"|"ins"} kind @param {unknown} value */
const cell = (kind, value) =>
  h("td.foreign", value === undefined || value === null ? UNKNOWN : h(kind, {}, shown(value)));
