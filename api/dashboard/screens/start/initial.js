// The initial state of the form for a copy of a training, or for a dataset.

import { api } from "../../app/api.js";
import { data } from "../../app/api_data.js";
import { datasetSettings, readFrames, recallSettings, storedSettings } from "../datasets/settings.js";
import { firstVariant, stateOf } from "../models/state.js";
import { bestPreset } from "./choose_preset.js";
import { PLAIN, PLAIN_DATASET } from "./draft.js";

const TOY = { epochs: 3, eval_every_n_epochs: 1, toy: { steps_per_epoch: 40, step_seconds: 0.1 } };

/** A copy of a training, or a training on a dataset; throws Refused or Unreachable. @param {URLSearchParams} query */
export function initialState(query) {
  const dataset = query.get("dataset");
  return dataset ? beginOnDataset(dataset, query.get("model")) : copyOf(query.get("from") ?? "");
}

/** @param {string} taskId @returns {Promise<import("./view.js").InitialState>} */
async function copyOf(taskId) {
  const { plan, model_type: model, request: found } = await api.task(taskId);
  const request = await withNumbers(/** @type {API.Request} */ (found), plan.datasets);
  const isForm = !request.config_toml && !request.dataset_toml;
  const texts = request.config_toml
    ? null
    : { config: plan.files?.["config.toml"] ?? "", dataset: plan.files?.["dataset.toml"] ?? "" };
  return { mode: isForm ? "form" : "toml", request: { ...request, model_type: model }, texts };
}

/**
 * Names the versions of datasets by their numbers, as the form does, where the number still means that version.
 * @param {API.Request} request @param {readonly API.PinnedDataset[]} pinned @returns {Promise<API.Request>}
 */
async function withNumbers(request, pinned) {
  const { directories } = /** @type {{directories?: {dataset?: string}[]}} */ (request.dataset ?? {});
  if (!directories) return request;
  const named = directories.map(async (each) => {
    const found = pinned.find(({ dataset, manifest }) => each.dataset === `${dataset}@${manifest}`);
    if (!found) return each;
    const version = await data.version(found.dataset, found.version).catch(() => null);
    return version?.manifest === found.manifest ? { ...each, dataset: `${found.dataset}@${found.version}` } : each;
  });
  return { ...request, dataset: { ...request.dataset, directories: await Promise.all(named) } };
}

/**
 * @param {string} reference such as cats@3 @param {string|null} wanted its model; null: one whose files are here
 * @returns {Promise<import("./view.js").InitialState>}
 */
async function beginOnDataset(reference, wanted) {
  const name = reference.replace(/@.*$/, "");
  const model = wanted ?? (await likelyModel((await api.models()).models));
  if (model === "toy") {
    const dataset = { directories: [{ dataset: reference }] };
    return { mode: "form", request: { model_type: "toy", name, config: TOY, dataset } };
  }
  const { presets } = await api.presets(model);
  const preset = bestPreset(presets) ?? presets[0];
  const ready = /** @type {import("./draft.js").Table|undefined} */ (preset?.request.config);
  const config = ready ?? (await plainConfig(model));
  const cut = /** @type {import("./draft.js").Table} */ (preset?.request.dataset ?? PLAIN_DATASET);
  /** @type {import("./draft.js").Table} */
  const dataset = { ...cut, directories: [{ dataset: reference }] };
  const request = { model_type: model, name, config, dataset };
  const settings = storedSettings();
  if (settings) {
    request.config = { ...config, micro_batch_size_per_gpu: settings.batch_size };
    // A preset without clip lengths is for pictures.
    request.dataset = datasetTable(settings, reference, Boolean(preset && !cut.frame_buckets));
  }
  return { mode: "form", request, preset: preset?.name };
}

/**
 * The model type of the user's last check if it can be trained here, else one that can, else the toy. Throws Refused or
 * Unreachable.
 * @param {readonly API.Model[]} models
 */
export async function likelyModel(models) {
  const { trainers } = await api.overview();
  const trained = trainers.filter((each) => each.ready).flatMap((each) => each.model_types);
  const ready = models.filter((each) => stateOf(each) === "ready" && trained.includes(each.id)).map(({ id }) => id);
  const last = recallSettings().model_type;
  return ready.includes(last) ? last : (ready[0] ?? "toy");
}

/**
 * The trainer's dataset file as values.
 * @param {import("../datasets/settings.js").Settings} settings @param {string} reference
 * @param {boolean} isStill whether it is for pictures only @returns {import("./draft.js").Table}
 */
function datasetTable(settings, reference, isStill) {
  const { num_repeats: repeats, frame_buckets: frames, ...own } = datasetSettings(settings);
  const cut = !isStill && readFrames(settings.frames).length ? { ...own, frame_buckets: frames } : own;
  return { ...cut, directories: [{ dataset: reference, num_repeats: repeats ?? 1 }] };
}

/** For a model type without a preset: a LoRA with the paths of the files on this machine. @param {string} model */
async function plainConfig(model) {
  const known = (await api.models()).models.find(({ id }) => id === model);
  return { ...PLAIN, model: { ...(known ? firstVariant(known).model : { type: model }), dtype: "bfloat16" } };
}
