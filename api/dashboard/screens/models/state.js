// How much of a model is on this machine, and what would have to be downloaded.

import { t } from "../../app/i18n.js";

/** @typedef {"ready"|"incomplete"|"missing"} State */

/** A tone and an icon for each. @type {Record<State, [string, import("../../ui/icons.js").IconName]>} */
export const STATES = { ready: ["ok", "check"], incomplete: ["warn", "warn"], missing: ["idle", "circle"] };

/** @param {API.Variant} variant @returns {State} */
export function stateOfVariant({ ready, components }) {
  if (ready) return "ready";
  return components.some(({ present, problem }) => present || problem) ? "incomplete" : "missing";
}

/** The state of its best variant. @param {API.Model} model @returns {State} */
export function stateOf({ variants }) {
  const states = variants.map(stateOfVariant);
  return states.find((each) => each === "ready") ?? states.find((each) => each === "incomplete") ?? "missing";
}

/** The variant shown first: a complete one, else one with some files present. @param {API.Model} model */
export const firstVariant = ({ variants }) =>
  ["ready", "incomplete", "missing"].flatMap((state) => variants.filter((each) => stateOfVariant(each) === state))[0];

/** The missing parts. @param {API.Variant} variant */
export const missingOf = ({ components }) => components.filter(({ present }) => !present);

/** Published size in GB as text. @param {number|null|undefined} gb */
export const publishedSize = (gb) =>
  gb == null ? null : t("gb", { n: gb >= 100 ? Math.round(gb) : Number(gb.toPrecision(3)) });

/**
 * Total download size of these parts: the sum of the known sizes.
 * @param {API.Component[]} components @returns {{gb: number, isWhole: boolean}} isWhole: all sizes are known
 */
export function sumOf(components) {
  const known = components.map(({ files }) => files[0]?.size_gb ?? null);
  return {
    gb: known.reduce((/** @type {number} */ sum, gb) => sum + (gb ?? 0), 0),
    isWhole: known.every((gb) => gb !== null),
  };
}
