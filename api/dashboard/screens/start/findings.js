// Findings of a request, shown near their fields.

import { t, translate } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";

/** @param {API.Finding} finding */
const messageOf = ({ message, message_code: code }) => translate(message, code);

/** @param {API.Finding} finding */
const remedyOf = ({ remedy, remedy_code: code }) => translate(remedy ?? "", code);

/** How to go to the field of a finding. @type {WeakMap<SeverityFinding, () => void>} */
const places = new WeakMap();

/**
 * Remembers where these findings are shown, and returns them.
 * @param {SeverityFinding[]} findings @param {HTMLElement} field or a group of fields
 */
export function placeFindings(findings, field) {
  for (const finding of findings) places.set(finding, () => reveal(field));
  return findings;
}

/** Goes to the field of a finding; null: it has none. @param {SeverityFinding} finding */
export const placeOf = (finding) => places.get(finding) ?? null;

/** Unfolds what hides a field, scrolls to it and focuses it. @param {HTMLElement} field */
function reveal(field) {
  for (let fold = field.closest("details"); fold; fold = fold.parentElement?.closest("details") ?? null)
    fold.open = true;
  const input = /** @type {HTMLElement|null} */ (
    field.matches("input, select, textarea") ? field : field.querySelector("input, select, textarea, button, summary")
  );
  (input ?? field).scrollIntoView({ block: "center" });
  input?.focus({ preventScroll: true });
}

/**
 * A summary of the findings. @param {readonly SeverityFinding[]} findings
 * @param {boolean} [waits] whether it would not start at once
 */
export function verdict(findings, waits = false) {
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  if (errors) return note("bad", h("strong", t("found.errors", { n: count(errors) })));
  if (warnings) return note("warn", h("strong", t("found.warnings", { n: count(warnings) })));
  return note("ok", h("strong", t(waits ? "found.none.waits" : "found.none")));
}

/** A finding beside the form, as a link to its field. @param {SeverityFinding} finding */
export function findingLink(finding) {
  const go = placeOf(finding);
  if (!go) return findingItem(finding, finding.pointer, null);
  const link = h("button.link-button.foreign", { type: "button", on: { click: go } }, messageOf(finding));
  return h(
    "li.finding",
    { data: { tone: finding.severity === "error" ? "bad" : "warn" } },
    icon(finding.severity === "error" ? "cross" : "warn"),
    h("div.grow", link),
  );
}

/**
 * @param {SeverityFinding} finding
 * @param {string} where its pointer, if useful
 * @param {number|null} line of a file
 * @param {() => void} [goTo] scrolls to that line
 * @param {Child} [actions] actions for the user
 */
export function findingItem(finding, where, line, goTo, actions = null) {
  const place = line ? h("button.place", { type: "button", on: { click: goTo } }, t("line", { n: line })) : null;
  return h(
    "li.finding",
    { data: { tone: finding.severity === "error" ? "bad" : "warn" } },
    icon(finding.severity === "error" ? "cross" : "warn"),
    h(
      "div.grow.foreign",
      h("p", place, where && h("code.faint", where), " ", messageOf(finding)),
      finding.remedy && h("p.soft", `→ ${remedyOf(finding)}`),
      actions,
    ),
  );
}

/**
 * Errors and warnings in one list, errors first.
 * @template {API.Finding} T
 * @param {{errors: readonly T[], warnings: readonly T[]}} found
 */
export const findingsOf = ({ errors, warnings }) => [
  ...errors.map((finding) => ({ ...finding, severity: /** @type {const} */ ("error") })),
  ...warnings.map((finding) => ({ ...finding, severity: /** @type {const} */ ("warning") })),
];
