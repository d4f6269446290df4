// A training on a dataset: the request with which the form is begun.

import { api } from "../../api.js";
import { datasetSettings, readFrames, recallSettings } from "../dataset/settings.js";

const TOY = { epochs: 3, eval_every_n_epochs: 1, toy: { steps_per_epoch: 40, step_seconds: 0.1 } };

/** As the trainer writes numbers, texts and lists. @param {unknown} value @returns {string} */
const toml = (value) => (Array.isArray(value) ? `[${value.map(toml).join(", ")}]` : JSON.stringify(value));

/**
 * Throws Refused or Unreachable.
 * @param {string} reference such as cats@3 @param {string} model @returns {Promise<import("./view.js").Begun>}
 */
export async function beginOnDataset(reference, model) {
  const name = reference.replace(/@.*$/, "");
  if (model === "toy") {
    const dataset = { directories: [{ dataset: reference }] };
    return { mode: "toy", request: { model_type: "toy", name, config: TOY, dataset } };
  }
  const [preset] = (await api.presets(model)).presets;
  const config = preset?.config_toml ?? (await plainConfig(model));
  return {
    mode: "toml",
    request: { model_type: model, name, config_toml: withBatchSize(config), dataset_toml: datasetText(reference) },
  };
}

/** The trainer's dataset file. @param {string} reference */
function datasetText(reference) {
  const settings = recallSettings();
  const { num_repeats: repeats, frame_buckets: frames, ...own } = datasetSettings(settings);
  const lines = Object.entries(readFrames(settings.frames).length ? { ...own, frame_buckets: frames } : own);
  return [
    ...lines.map(([key, value]) => `${key} = ${toml(value)}`),
    "",
    "[[directory]]",
    `dataset = ${toml(reference)}`,
    `num_repeats = ${repeats ?? 1}`,
    "",
  ].join("\n");
}

/** @param {string} config */
const withBatchSize = (config) =>
  config.replace(/^micro_batch_size_per_gpu = .*$/m, `micro_batch_size_per_gpu = ${recallSettings().batch_size}`);

/** Of a model type without a ready request: a LoRA, with the paths of what is on this machine. @param {string} model */
async function plainConfig(model) {
  const known = (await api.models()).models.find(({ id }) => id === model);
  const paths = (known?.components ?? []).map(({ key, path }) => `${key} = ${toml(path ?? "")}`);
  return [
    "epochs = 20",
    "micro_batch_size_per_gpu = 1",
    "save_every_n_epochs = 5",
    "activation_checkpointing = true",
    "",
    "[adapter]",
    'type = "lora"',
    "rank = 16",
    'dtype = "bfloat16"',
    "",
    "[optimizer]",
    'type = "adamw_optimi"',
    "lr = 2e-5",
    "",
    "[model]",
    `type = ${toml(model)}`,
    'dtype = "bfloat16"',
    ...paths,
    "",
  ].join("\n");
}
