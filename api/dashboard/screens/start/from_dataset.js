// A training on a dataset: the request with which the form is begun.

import { api } from "../../app/api.js";
import { datasetSettings, readFrames, recallSettings } from "../datasets/settings.js";
import { firstVariant } from "../models/state.js";
import { PLAIN } from "./draft.js";

const TOY = { epochs: 3, eval_every_n_epochs: 1, toy: { steps_per_epoch: 40, step_seconds: 0.1 } };

/**
 * Throws Refused or Unreachable.
 * @param {string} reference such as cats@3 @param {string} model @returns {Promise<import("./view.js").Begun>}
 */
export async function beginOnDataset(reference, model) {
  const name = reference.replace(/@.*$/, "");
  if (model === "toy") {
    const dataset = { directories: [{ dataset: reference }] };
    return { mode: "form", request: { model_type: "toy", name, config: TOY, dataset } };
  }
  const [preset] = (await api.presets(model)).presets;
  const ready = /** @type {import("./draft.js").Table|undefined} */ (preset?.request.config);
  const config = { ...(ready ?? (await plainConfig(model))), micro_batch_size_per_gpu: recallSettings().batch_size };
  return { mode: "form", request: { model_type: model, name, config, dataset: datasetTable(reference) } };
}

/** What the trainer's dataset file says. @param {string} reference @returns {import("./draft.js").Table} */
function datasetTable(reference) {
  const settings = recallSettings();
  const { num_repeats: repeats, frame_buckets: frames, ...own } = datasetSettings(settings);
  const cut = readFrames(settings.frames).length ? { ...own, frame_buckets: frames } : own;
  return { ...cut, directories: [{ dataset: reference, num_repeats: repeats ?? 1 }] };
}

/** Of a model type without a ready request: a LoRA, with the paths of what is on this machine. @param {string} model */
async function plainConfig(model) {
  const known = (await api.models()).models.find(({ id }) => id === model);
  return { ...PLAIN, model: { ...(known ? firstVariant(known).model : { type: model }), dtype: "bfloat16" } };
}
