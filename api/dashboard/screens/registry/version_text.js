// Short descriptions of a version.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";

/**
 * The header of its file: JSON, of which any field may be missing.
 * @typedef {{kind?: string|null, rank?: number|null, dtype?: string|null, parameters?: number|null, base_model?: string|null, keys?: string|null, readers?: string[], quantisation?: string|null, metadata?: Record<string, string>}} Format
 */
/**
 * The origin.
 * @typedef {{task_id?: string|null, task_name?: string|null, artifact?: string|null, step?: number|null, epoch?: number|null, [name: string]: unknown}} Origin
 */

/** @param {API.ModelVersion} version @returns {Format} */
export const formatOf = (version) => /** @type {Format} */ (version.format);
/** @param {API.ModelVersion} version @returns {Origin} */
export const originOf = (version) => /** @type {Origin} */ (version.origin);

/** LoRA, rank 16, flux @param {API.ModelVersion} version */
export function formatText(version) {
  const { kind, rank, base_model: base } = formatOf(version);
  return [kind ?? (base ? "" : t("format.unknown")), rank ? t("rank.n", { n: count(rank) }) : "", base ?? ""]
    .filter(Boolean)
    .join(", ");
}

/** @param {readonly string[]} aliases */
export const aliasChips = (aliases) =>
  aliases.map((alias) => h("span", { class: `alias${/^prod\b/.test(alias) ? " prod" : ""}` }, icon("star"), alias));
