// Builds the request of the form: the initial request, overlaid with the form's values. Unknown fields are sent
// unchanged.

import { t } from "../../app/i18n.js";

/** The service's mask for secrets. */
export const MASK = "***";

/** The finding about a masked secret that was not entered again. @param {string} pointer */
export const maskedFinding = (pointer) => ({
  pointer,
  message: t("masked"),
  remedy: t("masked.remedy"),
  message_code: null,
  remedy_code: null,
});

const GPU_FIELDS = ["gpu_id", "gpu_ids", "gpu_count"];
const FILE_FIELDS = ["config", "dataset", "config_toml", "dataset_toml"];

/** Fields that have an input in the form. */
const FORM_FIELDS = new Set([
  "model_type",
  "name",
  "description",
  "priority",
  "priority_class",
  "not_before",
  "min_memory",
  "env",
  "notify",
  "samples",
  "slurm",
  ...GPU_FIELDS,
  ...FILE_FIELDS,
]);

/**
 * The request with the form's parts; an undefined part removes its field.
 * @param {API.Request} base @param {Record<"what"|"gpus"|"fields", API.Request>} parts @returns {API.Request}
 */
export function overlay(base, { what, gpus, fields }) {
  const inherited = Object.entries(base).filter(([name]) => !GPU_FIELDS.includes(name) && !FILE_FIELDS.includes(name));
  const all = { ...Object.fromEntries(inherited), ...what, ...gpus, ...fields };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== null));
}

/** The non-empty fields without an input in the form. @param {API.Request} request */
export const otherFields = (request) =>
  Object.entries(request).filter(([name, value]) => !FORM_FIELDS.has(name) && isSet(name, value));

/**
 * The default of a flag: a task waits for GPUs unless set otherwise; other flags are off.
 * @param {string} name @param {unknown} value
 */
const isSet = (name, value) => (name === "queue" ? value === false : Boolean(value) && !isEmpty(value));
/** @param {unknown} value */
const isEmpty = (value) => typeof value === "object" && value !== null && Object.keys(value).length === 0;

/** JSON pointers of masked values. @param {unknown} value @returns {string[]} JSON pointers */
export function masksIn(value, at = "") {
  if (value === MASK) return [at];
  if (!value || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inner]) => masksIn(inner, `${at}/${escapeKey(key)}`));
}

/** @param {string} key */
const escapeKey = (key) => key.replaceAll("~", "~0").replaceAll("/", "~1");
