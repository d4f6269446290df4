// Preprocessing, and captioning by a vision model.

import { api, data, refused, same, text, until } from "./walk_client.js";
import { hasCompleted } from "./walk_uploads.js";

const STATUS = "/api/v1/preprocess/status/{task_id}" as const;
const GENERATE = "/api/v1/datasets/{name}/captions/generate" as const;

async function resultOf(taskId: string) {
  await until(() => hasCompleted(taskId));
  const { result } = data(await api.GET(STATUS, { params: { path: { task_id: taskId } } }));
  if (result === null || result === undefined) throw new Error(`${taskId} made nothing`);
  return result;
}

/** Resizes the dataset `cats` into a new version, and returns the id of the task. */
export async function preprocess(): Promise<string> {
  const body = { dataset: "cats@2", resolution: "32x32", captions: { trigger: "ohwx" } };
  const header = { "Idempotency-Key": "typed" };
  const taskId = data(await api.POST("/api/v1/preprocess/start", { body, params: { header } })).task_id;
  const result = await resultOf(taskId);
  same([result.reference, result.items, result.problem_count], ["cats@3", 2, 0]);
  const { tasks } = data(await api.GET("/api/v1/preprocess/list", { params: { query: { search: taskId } } }));
  same(
    tasks.map((task) => task.task_id),
    [taskId],
  );
  return taskId;
}

/** Reads its events, its log, a search in the log, and the complete log. */
export async function readItsOutput(taskId: string): Promise<void> {
  const params = { path: { task_id: taskId } };
  const { events } = data(await api.GET("/api/v1/preprocess/{task_id}/events", { params }));
  same([events[0]?.current, events.at(-1)?.current], ["queued", "completed"]);
  const { logs } = data(await api.GET("/api/v1/preprocess/{task_id}/logs", { params }));
  const keyword = logs[0]?.message ?? "";
  const search = { ...params, query: { keyword } };
  same(
    data(await api.GET("/api/v1/preprocess/{task_id}/logs/search", { params: search })).results[0]?.message,
    keyword,
  );
  const whole = text(await api.GET("/api/v1/preprocess/{task_id}/logs/download", { params, parseAs: "text" }));
  // The file has the lines as the program printed them: JSON whose message is shown.
  same(whole.split("\n")[0]?.includes(keyword), true);
}

/** Requests an estimate, then the captions themselves. */
export async function writeCaptions(): Promise<void> {
  const params = { path: { name: "cats" } };
  const dry = data(await api.POST(GENERATE, { params, body: { dry_run: true, version: "2" } }));
  same([dry.estimate.questions, dry.task], [1, null]);
  const body = { template: "short" as const, only_missing: false };
  const keyed = { ...params, header: { "Idempotency-Key": "typed" } };
  const made = data(await api.POST(GENERATE, { params: keyed, body })).task;
  if (made === null) throw new Error("no task writes them");
  const result = await resultOf(made.task_id);
  same([result.previous, result.difference_count], [3, 2]);
}

/** Cancels one task, and deletes another with its log. */
export async function deletePreprocessing(taskId: string): Promise<void> {
  const body = { dataset: "cats@2", resolution: "16x16", into: "never" };
  const path = { task_id: data(await api.POST("/api/v1/preprocess/start", { body })).task_id };
  data(await api.POST("/api/v1/preprocess/{task_id}/cancel", { params: { path } }));
  // It may end before the cancellation reaches it.
  await until(async () => data(await api.GET(STATUS, { params: { path } })).status !== "processing");
  const params = { path: { task_id: taskId } };
  same(data(await api.DELETE("/api/v1/preprocess/{task_id}", { params })).task_id, taskId);
  refused(await api.GET(STATUS, { params }), "task_not_found");
}
