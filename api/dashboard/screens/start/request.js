// The request that the form sends: what it was begun with, overlaid with what stands in the form. Fields that the form
// does not know are sent as they came.

/** What the service shows where a secret stood. */
export const MASK = "***";

const GPU_FIELDS = ["gpu_id", "gpu_ids", "gpu_count"];
const FILE_FIELDS = ["config", "dataset", "config_toml", "dataset_toml"];

/** Fields that have a place of their own in the form. */
const OWN_PLACE = new Set([
  "model_type",
  "name",
  "description",
  "priority",
  "min_memory",
  "env",
  "notify",
  "slurm",
  ...GPU_FIELDS,
  ...FILE_FIELDS,
]);

/**
 * A request with the form's parts in the place of its own; a part that is undefined takes its field away.
 * @param {API.Request} base @param {Record<"what"|"gpus"|"fields", API.Request>} parts @returns {API.Request}
 */
export function overlay(base, { what, gpus, fields }) {
  const kept = Object.entries(base).filter(([name]) => !GPU_FIELDS.includes(name) && !FILE_FIELDS.includes(name));
  const all = { ...Object.fromEntries(kept), ...what, ...gpus, ...fields };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== null));
}

/** What a request says besides the form's fields, and is more than nothing. @param {API.Request} request */
export const besides = (request) =>
  Object.entries(request).filter(([name, value]) => !OWN_PLACE.has(name) && says(name, value));

/**
 * A task waits for its GPUs unless it is told not to; everything else is off unless it is on.
 * @param {string} name @param {unknown} value
 */
const says = (name, value) => (name === "queue" ? value === false : Boolean(value) && !isEmpty(value));
/** @param {unknown} value */
const isEmpty = (value) => typeof value === "object" && value !== null && Object.keys(value).length === 0;

/** Where a value in it is masked. @param {unknown} value @returns {string[]} JSON pointers */
export function masksIn(value, at = "") {
  if (value === MASK) return [at];
  if (!value || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inner]) => masksIn(inner, `${at}/${escapeKey(key)}`));
}

/** @param {string} key */
const escapeKey = (key) => key.replaceAll("~", "~0").replaceAll("/", "~1");
