// The request that the form edits: configuration and dataset as nested values, by path; and its copy in the tab's storage.

import { labelFor, t } from "../../app/i18n.js";

/** @typedef {Record<string, unknown>} Table */
/** Keys from the top level down; numbers are list indexes. @typedef {readonly (string|number)[]} Path */

/** A LoRA with common values. The learning rate is that of the trainer's main example. @type {Table} */
export const PLAIN = {
  epochs: 20,
  micro_batch_size_per_gpu: 1,
  save_every_n_epochs: 5,
  checkpoint_every_n_minutes: 120,
  activation_checkpointing: true,
  adapter: { type: "lora", rank: 32, dtype: "bfloat16" },
  optimizer: { type: "adamw_optimi", lr: 2e-5, betas: [0.9, 0.99], weight_decay: 0.01, eps: 1e-8 },
};

/** @type {Table} */
export const PLAIN_DATASET = { resolutions: [512], enable_ar_bucket: true, min_ar: 0.5, max_ar: 2, num_ar_buckets: 7 };

/** @param {() => void} changed called after each change by the user */
export function requestDraft(changed) {
  /** @type {{config: Table, dataset: Table}} */
  let values = { config: {}, dataset: {} };
  return {
    get config() {
      return values.config;
    },
    get dataset() {
      return values.dataset;
    },
    /** @param {{config?: Table|null, dataset?: Table|null}} next */
    choose(next) {
      values = structuredClone({ config: next.config ?? values.config, dataset: next.dataset ?? values.dataset });
    },
    /** @param {Path} path from `config` or `dataset` on */
    get: (path) => path.reduce((/** @type {any} */ at, key) => at?.[key], values),
    /** Sets or deletes a value; creates missing tables. @param {Path} path @param {unknown} value undefined: delete */
    set(path, value) {
      /** @type {any} */
      let at = values;
      for (const key of path.slice(0, -1)) {
        if (typeof at[key] !== "object" || at[key] === null) at[key] = {};
        at = at[key];
      }
      const last = path[path.length - 1];
      if (value === undefined) delete at[last];
      else at[last] = value;
      changed();
    },
  };
}

/** @typedef {ReturnType<typeof requestDraft>} Draft */

/**
 * Parses typed text as JSON, which covers TOML's numbers and lists. Throws SyntaxError.
 * @param {string} text @returns {unknown}
 */
export function readValue(text) {
  const plain = text
    .replace(/'([^'"]*)'/g, '"$1"')
    .replace(/,\s*([\]}])/g, "$1")
    .replace(/(\d)_(?=\d)/g, "$1");
  return JSON.parse(plain);
}

/** 2e-5 is easier to read than 0.00002. @param {number} value */
const showNumber = (value) => (value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value));

/** @param {unknown} value @returns {string} */
export function showValue(value) {
  if (value === undefined) return "";
  if (typeof value === "number") return showNumber(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The trainer's name of a key, with its table. @param {import("./draft.js").Path} path */
export const keyOf = (path) => (path[0] === "config" ? path.slice(1).join(".") : String(path[path.length - 1]));

/** The words for a key of the trainer. @param {string} key such as `adapter.rank` */
export function keyLabel(key) {
  const label = labelFor("key", key);
  const text = label === key.replaceAll("_", " ") ? (label.split(".").pop() ?? label) : label;
  return text[0].toUpperCase() + text.slice(1);
}

/** The words for a setting that a sweep varies. @param {string} pointer into the request */
export const pointerLabel = (pointer) =>
  pointer.startsWith("/dataset/directories/") ? t("sweep.dataset") : keyLabel(keyOf(pointer.split("/").slice(1)));

const STORED = "draft";

/**
 * Stores the form for this tab, so that a reload or another screen does not lose it.
 * @param {import("./view.js").InitialState} state
 */
export function storeDraft(state) {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(state));
  } catch {
    // A file too large to store is still in the form.
  }
}

/** @returns {import("./view.js").InitialState|null} */
export function storedDraft() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? "null");
  } catch {
    return null;
  }
}

export function forgetDraft() {
  try {
    sessionStorage.removeItem(STORED);
  } catch {
    // Nothing was stored.
  }
}
