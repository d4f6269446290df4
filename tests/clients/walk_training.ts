// A training from its start to its deletion.

import type { components } from "./schema.js";
import { api, data, same, text, until } from "./walk_client.js";
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
  data(await api.GET("/api/v1/training/{task_id}/checkpoints", { params }));
  data(await api.GET("/api/v1/training/{task_id}/events", { params }));
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

export async function clearUp(taskId: string): Promise<void> {
  const params = { path: { task_id: taskId } };
  data(await api.PATCH("/api/v1/training/{task_id}", { params, body: { priority: 3 } }));
  const again = data(await api.POST("/api/v1/training/restart/{task_id}", { params })).task_id;
  await ends(again, "completed");
  // While its GPU is draining it cannot be deleted.
  await until(async () => {
    const asked = { params: { path: { task_id: again }, query: { files: true } } };
    return (await api.DELETE("/api/v1/training/{task_id}", asked)).response.ok;
  });
  same(data(await api.DELETE("/api/v1/training/{task_id}", { params })).task_id, taskId);
}
