// Findings of a request, shown near their fields.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";

/**
 * A summary of the findings. @param {readonly SeverityFinding[]} findings
 * @param {...Child} more content shown in addition if there are errors
 */
export function verdict(findings, ...more) {
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  if (errors) return note("bad", h("strong", {}, t("found.errors", { n: count(errors) })), more);
  if (warnings) return note("warn", h("strong", {}, t("found.warnings", { n: count(warnings) })));
  return note("ok", h("strong", {}, t("found.none")));
}

/**
 * @param {SeverityFinding} finding
 * @param {string} where its pointer, if useful
 * @param {number|null} line of a file
 * @param {() => void} [goTo] scrolls to that line
 * @param {Child} [actions] actions for the user
 */
export function findingItem(finding, where, line, goTo, actions = null) {
  const place = line
    ? h("button", { type: "button", class: "place", on: { click: goTo } }, t("line", { n: line }))
    : null;
  return h(
    "li",
    { class: "finding", data: { tone: finding.severity === "error" ? "bad" : "warn" } },
    icon(finding.severity === "error" ? "cross" : "warn"),
    h(
      "div",
      { class: "grow foreign" },
      h("p", {}, place, where && h("code", { class: "faint" }, where), " ", finding.message),
      finding.remedy && h("p", { class: "soft" }, `→ ${finding.remedy}`),
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
