// A training from its start to its deletion.

import type { components } from "./schema.js";
import { api, bytes, data, same, text, until } from "./walk_client.js";
import { saveAModel } from "./walk_models.js";

async function ends(taskId: string, status: components["schemas"]["TaskStatus"]): Promise<void> {
  const params = { path: { task_id: taskId } };
  await until(async () => data(await api.GET("/api/v1/training/{task_id}/progress", { params })).status === status);
}

/** Caches the dataset `cats` before a training, reads the cache status, and removes the cache. */
export async function cacheAhead(): Promise<void> {
  const toy = { steps_per_epoch: 10 };
  const dataset = { directories: [{ dataset: "cats" }] };
  const body = { model_type: "toy", gpu_count: 1, config: { epochs: 1, toy }, dataset };
  const taskId = data(await api.POST("/api/v1/training/cache", { body })).task_id;
  await ends(taskId, "completed");
  const params = { path: { name: "cats" } };
  const { caches } = data(await api.GET("/api/v1/datasets/{name}/caches", { params }));
  same(
    caches.map((cache) => [cache.task_id, cache.state]),
    [[taskId, "complete"]],
  );
  same(data(await api.POST("/api/v1/training/validate", { body })).plan?.cache?.task_id, taskId);
  const task = { params: { path: { task_id: taskId } } };
  await until(async () => (await api.DELETE("/api/v1/training/{task_id}", task)).response.ok);
}

/** Rehearses a toy training, reads its figures, and deletes it. */
export async function rehearse(): Promise<void> {
  const toy = { steps_per_epoch: 60, step_seconds: 0.1 };
  const body = { model_type: "toy", gpu_count: 1, config: { epochs: 1, toy } };
  const taskId = data(await api.POST("/api/v1/training/rehearse", { body })).task_id;
  await ends(taskId, "completed");
  const params = { path: { task_id: taskId } };
  const { rehearsal } = data(await api.GET("/api/v1/training/{task_id}", { params }));
  same([rehearsal?.steps, rehearsal?.total_steps], [8, 60]);
  await until(async () => (await api.DELETE("/api/v1/training/{task_id}", { params })).response.ok);
}

/** Plans a sweep of two toy trainings, queues it, stops it, and deletes its trainings. */
export async function sweep(): Promise<void> {
  const toy = { steps_per_epoch: 600, step_seconds: 0.1 };
  const request = { model_type: "toy", config: { epochs: 1, toy } };
  const wanted = { request, values: { "/config/optimizer/lr": [0.001, 0.002] }, plan_only: false };
  same(data(await api.POST("/api/v1/sweeps", { body: { ...wanted, plan_only: true } })).plan?.total, 2);
  const early = { after_share: 0.3, margin: 0.5 };
  const made = data(await api.POST("/api/v1/sweeps", { body: { ...wanted, early_stop: early } })).sweep;
  if (!made) throw new Error("no sweep was created");
  const params = { path: { sweep_id: made.sweep_id } };
  same(
    data(await api.GET("/api/v1/sweeps")).sweeps.map(({ sweep_id: id }) => id),
    [made.sweep_id],
  );
  same(data(await api.POST("/api/v1/sweeps/{sweep_id}/stop", { params })).total, 2);
  await until(async () => data(await api.GET("/api/v1/sweeps/{sweep_id}", { params })).status === "finished");
  for (const { task_id: id } of made.trainings) {
    const task = { params: { path: { task_id: id } } };
    await until(async () => (await api.DELETE("/api/v1/training/{task_id}", task)).response.ok);
  }
}

export async function train(): Promise<string> {
  const toy = { steps_per_epoch: 60, step_seconds: 0.1, checkpoint_every_n_steps: 10 };
  const body = { model_type: "toy", gpu_count: 1, config: { epochs: 1, toy } };
  if (!data(await api.POST("/api/v1/training/validate", { body })).valid) throw new Error("the toy is not valid");
  const taskId = data(await api.POST("/api/v1/training/start", { body })).task_id;
  const params = { path: { task_id: taskId } };
  await until(async () => {
    const shown = data(await api.GET("/api/v1/training/{task_id}/progress", { params }));
    return (shown.progress.current_step ?? 0) >= 15;
  });
  data(await api.POST("/api/v1/training/{task_id}/save", { params }));
  data(await api.POST("/api/v1/training/stop/{task_id}", { params, body: { timeout_seconds: 20 } }));
  data(await api.POST("/api/v1/training/{task_id}/stop", { params }));
  await ends(taskId, "stopped");
  data(await api.POST("/api/v1/training/resume/{task_id}", { params }));
  await ends(taskId, "completed");
  return taskId;
}

export async function readItsResults(taskId: string): Promise<void> {
  const params = { path: { task_id: taskId } };
  const query = { keyword: "TRAINING COMPLETE" };
  data(await api.GET("/api/v1/training/{task_id}", { params }));
  data(await api.GET("/api/v1/training/list", { params: { query: { status: "completed" } } }));
  data(await api.GET("/api/v1/training/{task_id}/metrics", { params: { ...params, query: { metric: "loss" } } }));
  const [checkpoint] = data(await api.GET("/api/v1/training/{task_id}/checkpoints", { params })).checkpoints;
  if (checkpoint === undefined) throw new Error("it has no checkpoint");
  const wanted = { checkpoint: checkpoint.name };
  same(data(await api.POST("/api/v1/training/{task_id}/export", { params, body: wanted })).checkpoint, checkpoint.name);
  await sampleItsModel(taskId);
  data(await api.GET("/api/v1/training/{task_id}/events", { params: { ...params, query: { order: "newest" } } }));
  data(await api.GET("/api/v1/training/{task_id}/logs", { params: { ...params, query: { tail: 5 } } }));
  data(await api.GET("/api/v1/training/{task_id}/logs/search", { params: { ...params, query } }));
  data(await api.GET("/api/v1/logs/search", { params: { query } }));
  text(await api.GET("/api/v1/training/{task_id}/logs/download", { params, parseAs: "text" }));
  const everything = data(await api.GET("/api/v1/training/{task_id}/artifacts", { params })).artifacts;
  const model = everything.find((one) => one.path.endsWith(".safetensors"));
  if (model !== undefined) await saveAModel(taskId, model.path);
  const [made] = everything;
  if (made === undefined) throw new Error("it made nothing");
  const file = { path: { task_id: taskId, path: made.path } };
  text(await api.GET("/api/v1/training/{task_id}/artifacts/{path}", { params: file, parseAs: "text" }));
}

/** A workflow of the stand-in for ComfyUI. */
const workflow = {
  model: { class_type: "UNETLoader", inputs: { unet_name: "other.safetensors", weight_dtype: "default" } },
  clip: { class_type: "CLIPLoader", inputs: { clip_name: "t5xxl_fp16.safetensors", type: "chroma" } },
  vae: { class_type: "VAELoader", inputs: { vae_name: "ae.safetensors" } },
  lora: { class_type: "LoraLoaderModelOnly", inputs: { model: ["model", 0], lora_name: "", strength_model: 1 } },
  text: { class_type: "CLIPTextEncode", inputs: { clip: ["clip", 0], text: "" } },
  latent: { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
  sampler: {
    class_type: "KSampler",
    inputs: {
      ...{ model: ["lora", 0], positive: ["text", 0], negative: ["text", 0], latent_image: ["latent", 0] },
      ...{ seed: 0, steps: 4, cfg: 1, denoise: 1, sampler_name: "euler", scheduler: "simple" },
    },
  },
  decode: { class_type: "VAEDecode", inputs: { samples: ["sampler", 0], vae: ["vae", 0] } },
  save: { class_type: "SaveImage", inputs: { images: ["decode", 0], filename_prefix: "" } },
};

async function sampleItsModel(taskId: string): Promise<void> {
  const params = { path: { task_id: taskId } };
  const unset = { width: null, height: null, frames: null, steps: null };
  const sampleSet = { prompts: [{ text: "a cat" }], seed: 1, strength: 1, workflow, ...unset };
  const made = data(await api.POST("/api/v1/training/{task_id}/samples", { params, body: { sample_set: sampleSet } }));
  await ends(made.task_id, "completed");
  const [sample] = data(await api.GET("/api/v1/training/{task_id}/samples", { params })).samples;
  if (sample === undefined) throw new Error("it has no sample");
  const one = { path: { task_id: taskId, sample_id: sample.sample_id } };
  bytes(await api.GET("/api/v1/training/{task_id}/samples/{sample_id}/file", { params: one, parseAs: "arrayBuffer" }));
  bytes(
    await api.GET("/api/v1/training/{task_id}/samples/{sample_id}/thumbnail", { params: one, parseAs: "arrayBuffer" }),
  );
  const rating = { rating: 5 };
  same(
    data(await api.PATCH("/api/v1/training/{task_id}/samples/{sample_id}", { params: one, body: rating })).rating,
    5,
  );
  const ranked = data(await api.GET("/api/v1/training/{task_id}/samples/ranking", { params })).models;
  same(
    ranked.map(({ mean }) => mean),
    [5, null],
  );
  bytes(await api.GET("/api/v1/training/{task_id}/samples/sheet", { params, parseAs: "arrayBuffer" }));
  await saveAndUseASet(taskId);
  const name = made.sampling?.checkpoints[0] ?? "";
  const body = { checkpoint: name };
  same(data(await api.PUT("/api/v1/training/{task_id}/chosen", { params, body })).chosen, name);
  same(data(await api.DELETE("/api/v1/training/{task_id}/chosen", { params })).chosen, null);
  const linked = { path: { task_id: taskId, checkpoint: name } };
  data(await api.PUT("/api/v1/training/{task_id}/comfyui/{checkpoint}", { params: linked }));
  same(data(await api.GET("/api/v1/training/{task_id}/comfyui", { params })).links.length, 1);
  const preview = { params: linked, parseAs: "arrayBuffer" } as const;
  bytes(await api.GET("/api/v1/training/{task_id}/comfyui/{checkpoint}/preview", preview));
  same(data(await api.DELETE("/api/v1/training/{task_id}/comfyui/{checkpoint}", { params: linked })).links.length, 0);
  const tried = { path: params.path, query: { keep_last: 1 } };
  const { keep } = data(await api.GET("/api/v1/training/{task_id}/retention/preview", { params: tried }));
  same(
    keep.some((each) => each.name === name),
    true,
  );
  const rule = { keep_last: 100 };
  same(data(await api.PUT("/api/v1/training/{task_id}/retention", { params, body: rule })).deleted.length, 0);
  same(data(await api.GET("/api/v1/training/{task_id}/retention", { params })).keep_last, 100);
}

/** Registers a workflow, saves a sample set with it, and renders saved models automatically. */
async function saveAndUseASet(taskId: string): Promise<void> {
  same(data(await api.POST("/api/v1/workflows/nodes", { body: { workflow } })).nodes.output, "save");
  const order = { name: "Toy", model_type: "toy", workflow, shared: false };
  const flow = data(await api.POST("/api/v1/workflows", { body: order })).workflow_id;
  const own = { path: { workflow_id: flow } };
  same(data(await api.GET("/api/v1/workflows/{workflow_id}", { params: own })).model_type, "toy");
  same(data(await api.GET("/api/v1/workflows")).workflows.length, 1);
  const set = { name: "cats", prompts: [{ text: "a cat" }], workflow: flow, strength: 1, shared: false };
  same(data(await api.POST("/api/v1/sample-sets", { body: set })).version, 1);
  const named = { path: { name: "cats" } };
  same(data(await api.PATCH("/api/v1/sample-sets/{name}", { params: named, body: { seed: 2 } })).version, 2);
  same(data(await api.GET("/api/v1/sample-sets/{name}", { params: named })).seed, 2);
  same(data(await api.GET("/api/v1/sample-sets")).sample_sets.length, 1);
  const body = { samples: { sample_set: "cats", every: 2 } };
  const params = { path: { task_id: taskId } };
  same(data(await api.PATCH("/api/v1/training/{task_id}", { params, body })).samples?.every, 2);
  data(await api.DELETE("/api/v1/sample-sets/{name}", { params: named }));
  data(await api.DELETE("/api/v1/workflows/{workflow_id}", { params: own }));
}

export async function clearUp(taskId: string): Promise<void> {
  const params = { path: { task_id: taskId } };
  data(await api.PATCH("/api/v1/training/{task_id}", { params, body: { priority: 3, tags: ["cats"] } }));
  const [oldest] = data(await api.GET("/api/v1/training/{task_id}/checkpoints", { params })).checkpoints;
  if (oldest === undefined) throw new Error("it has no checkpoint");
  const checkpoint = { path: { task_id: taskId, name: oldest.name } };
  data(await api.DELETE("/api/v1/training/{task_id}/checkpoints/{name}", { params: checkpoint }));
  const again = data(await api.POST("/api/v1/training/restart/{task_id}", { params })).task_id;
  await ends(again, "completed");
  const query = { tasks: `${taskId},${again}`, metric: "loss,learning_rate" };
  same(data(await api.GET("/api/v1/training/compare", { params: { query } })).trainings.length, 2);
  // While its GPU is draining it cannot be deleted.
  await until(async () => {
    const asked = { params: { path: { task_id: again }, query: { files: true } } };
    return (await api.DELETE("/api/v1/training/{task_id}", asked)).response.ok;
  });
  same(data(await api.DELETE("/api/v1/training/{task_id}", { params })).task_id, taskId);
}
