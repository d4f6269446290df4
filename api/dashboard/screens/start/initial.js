// The initial state of the form for a copy of a training, or for a dataset.

import { api } from "../../app/api.js";
import { datasetSettings, readFrames, recallSettings } from "../datasets/settings.js";
import { firstVariant } from "../models/state.js";
import { bestPreset } from "./choose_preset.js";
import { PLAIN } from "./draft.js";

const TOY = { epochs: 3, eval_every_n_epochs: 1, toy: { steps_per_epoch: 40, step_seconds: 0.1 } };

/** A copy of a training, or a training on a dataset; throws Refused or Unreachable. @param {URLSearchParams} query */
export function initialState(query) {
  const dataset = query.get("dataset");
  return dataset ? beginOnDataset(dataset, query.get("model") ?? "toy") : copyOf(query.get("from") ?? "");
}

/** @param {string} taskId @returns {Promise<import("./view.js").InitialState>} */
async function copyOf(taskId) {
  const { plan, model_type: model, request: found } = await api.task(taskId);
  const request = /** @type {API.Request} */ (found);
  const isForm = !request.config_toml && !request.dataset_toml;
  const texts = request.config_toml
    ? null
    : { config: plan.files?.["config.toml"] ?? "", dataset: plan.files?.["dataset.toml"] ?? "" };
  return { mode: isForm ? "form" : "toml", request: { ...request, model_type: model }, texts };
}

/**
 * @param {string} reference such as cats@3 @param {string} model @returns {Promise<import("./view.js").InitialState>}
 */
async function beginOnDataset(reference, model) {
  const name = reference.replace(/@.*$/, "");
  if (model === "toy") {
    const dataset = { directories: [{ dataset: reference }] };
    return { mode: "form", request: { model_type: "toy", name, config: TOY, dataset } };
  }
  const { presets } = await api.presets(model);
  const preset = bestPreset(presets) ?? presets[0];
  const ready = /** @type {import("./draft.js").Table|undefined} */ (preset?.request.config);
  const config = { ...(ready ?? (await plainConfig(model))), micro_batch_size_per_gpu: recallSettings().batch_size };
  const dataset = /** @type {import("./draft.js").Table|undefined} */ (preset?.request.dataset);
  // A preset without clip lengths is for pictures.
  const request = {
    model_type: model,
    name,
    config,
    dataset: datasetTable(reference, Boolean(dataset && !dataset.frame_buckets)),
  };
  return { mode: "form", request, preset: preset?.name };
}

/**
 * The trainer's dataset file as values.
 * @param {string} reference @param {boolean} isStill whether it is for pictures only
 * @returns {import("./draft.js").Table}
 */
function datasetTable(reference, isStill) {
  const settings = recallSettings();
  const { num_repeats: repeats, frame_buckets: frames, ...own } = datasetSettings(settings);
  const cut = !isStill && readFrames(settings.frames).length ? { ...own, frame_buckets: frames } : own;
  return { ...cut, directories: [{ dataset: reference, num_repeats: repeats ?? 1 }] };
}

/** For a model type without a preset: a LoRA with the paths of the files on this machine. @param {string} model */
async function plainConfig(model) {
  const known = (await api.models()).models.find(({ id }) => id === model);
  return { ...PLAIN, model: { ...(known ? firstVariant(known).model : { type: model }), dtype: "bfloat16" } };
}
