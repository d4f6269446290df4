// The settings of a preset: what of a request belongs to it, and how a request differs from it.

import { keyOf } from "./draft.js";
import { MASK } from "./request.js";

/** @typedef {import("./draft.js").Table} Table */
/** @typedef {{config: Table, dataset: Table}} Settings */
/** @typedef {{key: string, before: unknown, after: unknown}} Difference */

const SECRETS = ["wandb_api_key"];
const DIRECTORIES = ["directories", "directory"];

/**
 * The settings of a request for a preset: without datasets, files and secrets.
 * @param {Settings} request @param {API.Variant|null} variant
 */
export function settingsOf({ config, dataset }, variant) {
  const files = ["type", ...Object.keys(variant?.model ?? {})];
  const model = without(/** @type {Table} */ (config.model ?? {}), files);
  const settings = { ...config, ...(config.model ? { model } : {}) };
  return { settings: withoutSecrets(settings), dataset: without(dataset, DIRECTORIES) };
}

/** @param {Table} table @returns {Table} */
const withoutSecrets = (table) =>
  Object.fromEntries(
    Object.entries(table)
      .filter(([name, value]) => !SECRETS.includes(name) && value !== MASK)
      .map(([name, value]) => [name, isTable(value) ? withoutSecrets(value) : value]),
  );

/**
 * The values in which a request differs from a preset. The files of the model are not part of a preset.
 * @param {Settings} preset @param {Settings} request @returns {Difference[]}
 */
export function differences(preset, request) {
  const [before, after] = [leavesOf(preset), leavesOf(request)];
  const keys = [...new Set([...before.keys(), ...after.keys()])];
  return keys
    .map((key) => ({ key, before: before.get(key), after: after.get(key) }))
    .filter((each) => JSON.stringify(each.before) !== JSON.stringify(each.after));
}

/** @param {Settings} settings @returns {Map<string, unknown>} values by the trainer's names */
function leavesOf({ config, dataset }) {
  const all = { config, dataset: without(dataset, DIRECTORIES) };
  return new Map([...leaves(all, [])].map(([path, value]) => [keyOf(path), value]));
}

/** @param {Table} table @param {string[]} path @returns {Generator<[string[], unknown]>} */
function* leaves(table, path) {
  for (const [name, value] of Object.entries(table)) {
    const own = [...path, name];
    if (isTable(value)) yield* leaves(value, own);
    else if (!(own[1] === "model" && (name === "type" || typeof value === "object" || /_path$|^path$/.test(name))))
      yield [own, value];
  }
}

/** @param {unknown} value @returns {value is Table} */
const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {Table} table @param {string[]} names @returns {Table} */
const without = (table, names) => Object.fromEntries(Object.entries(table).filter(([name]) => !names.includes(name)));
