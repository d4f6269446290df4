// What of a model is on this machine, in one word, and what of it would have to be downloaded.

import { t } from "../../app/i18n.js";

/** @typedef {"whole"|"partial"|"missing"} State */

/** A tone and an icon for each. @type {Record<State, [string, import("../../ui/icons.js").IconName]>} */
export const STATES = { whole: ["ok", "check"], partial: ["warn", "warn"], missing: ["idle", "circle"] };

const GB = 1e9;

/** @param {API.Variant} variant @returns {State} */
export function stateOfVariant({ ready, components }) {
  if (ready) return "whole";
  return components.some(({ present, problem }) => present || problem) ? "partial" : "missing";
}

/** That of its best variant. @param {API.Model} model @returns {State} */
export function stateOf({ variants }) {
  const states = variants.map(stateOfVariant);
  return states.find((each) => each === "whole") ?? states.find((each) => each === "partial") ?? "missing";
}

/** The variant that is shown first: one that is whole, else one of which something is here. @param {API.Model} model */
export const firstVariant = ({ variants }) =>
  ["whole", "partial", "missing"].flatMap((state) => variants.filter((each) => stateOfVariant(each) === state))[0];

/** What is not here. @param {API.Variant} variant */
export const missingOf = ({ components }) => components.filter(({ present }) => !present);

/** Bytes of one as it is published; null: nobody has told. @param {API.Component} component */
export const publishedBytes = ({ files }) => (files[0]?.size_gb == null ? null : files[0].size_gb * GB);

/** GB as they are published. @param {number|null|undefined} gb */
export const publishedSize = (gb) =>
  gb == null ? null : t("gb", { n: gb >= 100 ? Math.round(gb) : Number(gb.toPrecision(3)) });

/**
 * How much the download of these would be: the sum of what is known.
 * @param {API.Component[]} components @returns {{gb: number, isWhole: boolean}} whether that is all of it
 */
export function sumOf(components) {
  const known = components.map(({ files }) => files[0]?.size_gb ?? null);
  return {
    gb: known.reduce((/** @type {number} */ sum, gb) => sum + (gb ?? 0), 0),
    isWhole: known.every((gb) => gb !== null),
  };
}
