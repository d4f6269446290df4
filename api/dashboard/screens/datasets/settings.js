// Training settings with which a dataset is checked and items are shown.

import { t } from "../../app/i18n.js";
import { recall, remember } from "../../app/settings.js";
import { h } from "../../ui/dom.js";
import { numberInput, textInput } from "../../ui/fields.js";
import { typeSelect } from "../models/type_select.js";
import { formField } from "../start/fields.js";

/**
 * @typedef {object} Settings
 * @property {string} model_type
 * @property {string} resolutions such as "512" or "512, 1280x720"
 * @property {boolean} buckets whether buckets have several aspect ratios
 * @property {number} min_ar @property {number} max_ar @property {number} num_ar_buckets
 * @property {string} frames such as "1, 33"
 * @property {number} batch_size
 * @property {number} num_repeats
 */

/** @type {Settings} */
const FIRST = {
  model_type: "flux",
  resolutions: "512",
  buckets: true,
  min_ar: 0.5,
  max_ar: 2,
  num_ar_buckets: 7,
  frames: "1, 33",
  batch_size: 1,
  num_repeats: 1,
};
const NAME = "data.settings";

/** The settings used last. @returns {Settings} */
export function recallSettings() {
  try {
    const stored = JSON.parse(recall(NAME, "{}"));
    const known = Object.entries(FIRST).map(([name, value]) => [
      name,
      typeof stored?.[name] === typeof value ? stored[name] : value,
    ]);
    return /** @type {Settings} */ (Object.fromEntries(known));
  } catch {
    return FIRST;
  }
}

/** The settings used last, or null if there are none. */
export const storedSettings = () => (recall(NAME, "") ? recallSettings() : null);

/** @param {Settings} settings */
const keepSettings = (settings) => remember(NAME, JSON.stringify(settings));

/** Square sizes and width × height pairs. @param {string} text @returns {(number|[number, number])[]} */
const readResolutions = (text) =>
  [...text.matchAll(/(\d+)(?:\s*[x×*]\s*(\d+))?/gi)].map(([, width, height]) =>
    height ? [Number(width), Number(height)] : Number(width),
  );

/** @param {string} text */
export const readFrames = (text) => (text.match(/\d+/g) ?? []).map(Number);

/**
 * The settings as fields of the trainer's dataset file.
 * @param {Settings} settings @returns {Record<string, unknown>}
 */
export const datasetSettings = ({ resolutions, buckets, min_ar, max_ar, num_ar_buckets, frames, num_repeats }) => ({
  resolutions: readResolutions(resolutions),
  ...(buckets ? { enable_ar_bucket: true, min_ar, max_ar, num_ar_buckets } : {}),
  frame_buckets: readFrames(frames),
  ...(num_repeats > 1 ? { num_repeats } : {}),
});

/** The settings as a request for a check. @param {Settings} settings @returns {API.CheckRequest} */
export const checkRequest = (settings) => ({
  model_type: settings.model_type,
  ...datasetSettings(settings),
  config: { micro_batch_size_per_gpu: settings.batch_size },
});

/**
 * The settings as a query for an item's pixels, at the first resolution.
 * @param {Settings} settings @returns {API.Query}
 */
export function trainedQuery(settings) {
  const [first] = readResolutions(settings.resolutions);
  return {
    model_type: settings.model_type,
    resolution: Array.isArray(first) ? first.join("x") : String(first ?? 512),
    ar_buckets: settings.buckets ? ratios(settings).join(",") : null,
    frame_buckets: readFrames(settings.frames).join(",") || null,
  };
}

/** Equally spaced ratios from the smallest to the largest, as in the trainer. @param {Settings} settings */
function ratios({ min_ar: least, max_ar: most, num_ar_buckets: count }) {
  if (count < 2) return [least];
  const step = Math.log(most / least) / (count - 1);
  return Array.from({ length: Math.min(count, 64) }, (_, i) => Number((least * Math.exp(step * i)).toFixed(9)));
}

/**
 * The fields of the settings.
 * @param {string} place prefix that makes ids unique in the page
 * @param {Settings} settings @param {(settings: Settings) => void} changed
 */
export function settingsForm(place, settings, changed) {
  let now = settings;
  /** @param {keyof Settings} name @param {HTMLInputElement|HTMLSelectElement} input @param {string} [hint] */
  const field = (name, input, hint) => {
    input.value = String(now[name]);
    return formField({ name: `${place}-${name}`, label: t(`set.${name}`), pointers: [`/${name}`], input, hint });
  };
  const fields = {
    model_type: field("model_type", typeSelect({ value: now.model_type, toy: false }).input),
    resolutions: field("resolutions", textInput({ placeholder: "512, 1280x720" })),
    frames: field("frames", textInput({ placeholder: "1, 33" })),
    min_ar: field("min_ar", numberInput({ min: 0.1, max: 10, step: "any" })),
    max_ar: field("max_ar", numberInput({ min: 0.1, max: 10, step: "any" })),
    num_ar_buckets: field("num_ar_buckets", numberInput({ min: 1, max: 64, step: 1 })),
    batch_size: field("batch_size", numberInput({ min: 1, step: 1 })),
    num_repeats: field("num_repeats", numberInput({ min: 1, step: 1 })),
  };
  const buckets = h("input", { type: "checkbox", id: `${place}-buckets`, checked: now.buckets });
  const ratioFields = h("div.pair", fields.min_ar.element, fields.max_ar.element, fields.num_ar_buckets.element);
  ratioFields.hidden = !now.buckets;
  const read = () => {
    ratioFields.hidden = !buckets.checked;
    now = {
      model_type: fields.model_type.input.value,
      resolutions: fields.resolutions.input.value,
      buckets: buckets.checked,
      min_ar: numberOf(fields.min_ar.input, now.min_ar),
      max_ar: numberOf(fields.max_ar.input, now.max_ar),
      num_ar_buckets: numberOf(fields.num_ar_buckets.input, now.num_ar_buckets),
      frames: fields.frames.input.value,
      batch_size: numberOf(fields.batch_size.input, now.batch_size),
      num_repeats: numberOf(fields.num_repeats.input, now.num_repeats),
    };
    keepSettings(now);
    changed(now);
  };
  return h(
    "div.stack.settings-form",
    { on: { change: read } },
    h(
      "div.pair",
      fields.model_type.element,
      fields.resolutions.element,
      fields.frames.element,
      fields.batch_size.element,
      fields.num_repeats.element,
    ),
    h("label.check", { for: `${place}-buckets` }, buckets, t("set.buckets")),
    ratioFields,
  );
}

/** @param {HTMLInputElement|HTMLSelectElement} input @param {number} otherwise */
const numberOf = (input, otherwise) => Number(input.value) || otherwise;
