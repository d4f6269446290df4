// Calls every operation through types that openapi-typescript made of the document (schema.d.ts), and prints which.
// tsc checks what is asked and what is read; the address of the server is the first argument.

import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema.js";

const address = process.argv[2];
if (address === undefined) throw new Error("give the address of a server");

const called = new Set<string>();
const remember: Middleware = {
  onResponse({ request, response, schemaPath }) {
    // The only attempt that could have strayed is none, and there is no provider to sign in by.
    if (
      response.ok ||
      (response.status === 404 && /\/(strays|oidc|\{alert_id\})(\/|$)|models\/validate$/.test(schemaPath)) ||
      // What has failed already is neither paused nor cancelled.
      (response.status === 409 && /\/(pause|cancel|test)$/.test(schemaPath))
    )
      called.add(`${request.method.toLowerCase()} ${schemaPath}`);
    return undefined;
  },
};

const key = process.env["DIFFUSION_PIPE_API_KEY"];
const api = createClient<paths>({ baseUrl: address, headers: { Authorization: `Bearer ${key}` } });
api.use(remember);

/** The data of a success; anything else ends the walk. */
function data<T>(answer: { data?: { data: T } | string; error?: unknown; response: Response }): T {
  if (answer.data === undefined || typeof answer.data === "string")
    throw new Error(`${answer.response.url}: ${JSON.stringify(answer.error)}`);
  return answer.data.data;
}

/** What is no envelope: text and bytes. */
function text(answer: { data?: unknown; error?: unknown; response: Response }): string {
  if (typeof answer.data !== "string" || answer.data === "")
    throw new Error(`${answer.response.url}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

async function until(look: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await look()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("waited in vain");
}

async function askAboutTheMachine(): Promise<void> {
  data(await api.GET("/health"));
  data(await api.GET("/health/ready"));
  data(await api.GET("/api/v1/system/overview"));
  data(await api.GET("/api/v1/system/logs"));
  data(await api.GET("/api/v1/system/strays"));
  await api.POST("/api/v1/system/strays/{attempt_uid}/stop", { params: { path: { attempt_uid: "nobody.1" } } });
  data(await api.GET("/api/v1/system/logs/search", { params: { query: { keyword: "listening" } } }));
  text(await api.GET("/metrics", { parseAs: "text" }));
  text(await api.GET("/api/v1/metrics", { parseAs: "text" }));
  const gpus: components["schemas"]["GPUInfo"][] = data(await api.GET("/api/v1/gpu/status")).gpus;
  if (gpus.length !== 8) throw new Error(`there are ${gpus.length} GPUs`);
  data(await api.GET("/api/v1/gpu/summary"));
  data(await api.GET("/api/v1/gpu/events"));
  data(await api.GET("/api/v1/gpu/available", { params: { query: { count: 2, task_type: "training" } } }));
  const path = { gpu_id: "0" };
  data(await api.GET("/api/v1/gpu/{gpu_id}", { params: { path } }));
  data(await api.GET("/api/v1/gpu/{gpu_id}/details", { params: { path } }));
  data(await api.GET("/api/v1/gpu/{gpu_id}/processes", { params: { path } }));
  data(await api.GET("/api/v1/gpu/{gpu_id}/history", { params: { path, query: { metric: "temperature_gpu" } } }));
}

async function lookAtModels(): Promise<void> {
  if (data(await api.GET("/api/v1/models/list")).models.length !== 24) throw new Error("there are 24 model types");
  data(await api.GET("/api/v1/models/{model_id}/presets", { params: { path: { model_id: "wan" } } }));
  const path = { model_id: "flux", name: "24gb" };
  const preset = data(await api.GET("/api/v1/models/{model_id}/presets/{name}", { params: { path } }));
  if (preset.memory_gb !== 24) throw new Error(`it is for ${preset.memory_gb} GB`);
  const order = { url: "http://127.0.0.1:9/x", sha256: "0".repeat(64) };
  const header = { "Idempotency-Key": "typed" };
  const id = data(await api.POST("/api/v1/models/download", { body: order, params: { header } })).download_id;
  const one = { path: { task_id: id } };
  const download = "/api/v1/models/download/{task_id}" as const;
  // Nothing may be fetched there, so that it fails.
  const hasFailed = async () => data(await api.GET(download, { params: one })).status === "failed";
  data(await api.GET("/api/v1/models/downloads"));
  await until(hasFailed);
  for (const deed of ["pause", "cancel"] as const) await api.POST(`${download}/${deed}`, { params: one });
  data(await api.POST(`${download}/resume`, { params: one }));
  await until(hasFailed);
  const made = await api.POST("/api/v1/models/validate", { body: { path: "/nowhere/x.safetensors" } });
  if (made.response.status !== 404) throw new Error(`nothing is there, but ${made.response.status}`);
}

async function uploadByParts(): Promise<void> {
  const version = { "Tus-Resumable": "1.0.0" as const };
  const said = { "Upload-Length": 4, "Upload-Metadata": `dataset ${btoa("typed")},filename ${btoa("x.txt")}` };
  const begun = data(await api.POST("/api/v1/uploads", { params: { header: { ...version, ...said } } }));
  const path = { upload_id: begun.upload_id };
  const sent = await api.PATCH("/api/v1/uploads/{upload_id}", {
    params: { path, header: { ...version, "Upload-Offset": 0 } },
    headers: { "Content-Type": "application/offset+octet-stream" },
    body: "ab",
    bodySerializer: (body) => body,
  });
  if (sent.response.status !== 204) throw new Error(`a part was answered with ${sent.response.status}`);
  if (data(await api.GET("/api/v1/uploads/{upload_id}", { params: { path } })).offset !== 2)
    throw new Error("lost bytes");
  data(await api.GET("/api/v1/uploads", { params: { query: { status: "receiving" } } }));
  await api.DELETE("/api/v1/uploads/{upload_id}", { params: { path, header: version } });
}

async function uploadByForm(): Promise<void> {
  const made = await api.POST("/api/v1/preprocess/upload", {
    body: { file: "a cat", dataset: "typed" },
    bodySerializer: (body) => {
      const form = new FormData();
      form.append("file", new Blob([body?.file ?? ""]), "x.txt");
      form.append("dataset", body?.dataset ?? "");
      return form;
    },
  });
  const path = { task_id: data(made).task_id };
  data(await api.GET("/api/v1/preprocess/status/{task_id}", { params: { path } }));
}

async function holdAGPU(): Promise<void> {
  const header = { "Idempotency-Key": "typed" };
  const body = { gpu_ids: [7], task_type: "training" as const };
  const task = data(await api.POST("/api/v1/gpu/tasks", { body, params: { header } }));
  const params = { path: { task_id: task.task_id } };
  data(await api.GET("/api/v1/gpu/tasks"));
  data(await api.GET("/api/v1/gpu/tasks/{task_id}", { params }));
  data(await api.PATCH("/api/v1/gpu/tasks/{task_id}", { params, body: { progress: 5.5 } }));
  data(await api.DELETE("/api/v1/gpu/tasks/{task_id}", { params }));
}

async function manageKeys(): Promise<void> {
  const wanted = { user_id: "anna", role: "trainer" as const, quota: { gpus: 2 } };
  const made = data(await api.POST("/api/v1/auth/generate-key", { body: wanted }));
  if (made.api_key === null) throw new Error("the key is not shown");
  data(await api.POST("/api/v1/auth/login", { body: { key: made.api_key } }));
  data(await api.GET("/api/v1/auth/keys", { params: { query: { user_id: "anna", state: "active" } } }));
  data(await api.GET("/api/v1/auth/keys/{key_id}", { params: { path: { key_id: made.key_id } } }));
  const params = { path: { key_id: made.key_id } };
  const rotated = data(await api.POST("/api/v1/auth/keys/{key_id}/rotate", { params, body: { overlap_seconds: 0 } }));
  data(await api.DELETE("/api/v1/auth/keys/{key_id}", { params: { path: { key_id: rotated.key_id } } }));
  data(await api.GET("/api/v1/auth/users"));
  const user = { path: { user_id: "anna" } };
  data(await api.PATCH("/api/v1/auth/users/{user_id}", { params: user, body: { quota: { gpus: null } } }));
  data(await api.GET("/api/v1/auth/whoami"));
  data(await api.POST("/api/v1/auth/ticket"));
  if (!(await api.POST("/api/v1/auth/logout")).response.ok) throw new Error("signing out fails");
  data(await api.GET("/api/v1/auth/audit", { params: { query: { actor: "admin" } } }));
  if (!data(await api.GET("/api/v1/auth/audit/verify")).ok) throw new Error("the audit is broken");
  data(await api.GET("/api/v1/auth/ways"));
  await api.GET("/api/v1/auth/oidc/login");
  await api.GET("/api/v1/auth/oidc/callback");
}

async function ends(taskId: string, status: components["schemas"]["TaskStatus"]): Promise<void> {
  const params = { path: { task_id: taskId } };
  await until(async () => data(await api.GET("/api/v1/training/{task_id}/progress", { params })).status === status);
}

async function train(): Promise<string> {
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

async function readWhatItMade(taskId: string): Promise<void> {
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
  if (model !== undefined) await keepAModel(taskId, model.path);
  const [made] = everything;
  if (made === undefined) throw new Error("it made nothing");
  const file = { path: { task_id: taskId, path: made.path } };
  text(await api.GET("/api/v1/training/{task_id}/artifacts/{path}", { params: file, parseAs: "text" }));
}

async function keepAModel(taskId: string, artifact: string): Promise<void> {
  const body = { task_id: taskId, artifact, name: "cats", tags: ["a"], aliases: ["prod"] };
  const header = { "Idempotency-Key": "typed" };
  data(await api.POST("/api/v1/models/registry", { body, params: { header } }));
  data(await api.GET("/api/v1/models/registry"));
  const params = { path: { name: "cats" } };
  data(await api.PATCH("/api/v1/models/registry/{name}", { params, body: { description: "tabby" } }));
  if (data(await api.GET("/api/v1/models/registry/{name}", { params })).versions !== 1) throw new Error("one version");
  const one = { path: { name: "cats", version: "1" } };
  const version = "/api/v1/models/registry/{name}/versions/{version}" as const;
  text(await api.GET(`${version}/file`, { params: one, parseAs: "text" }));
  data(await api.POST(`${version}/metadata`, { params: one, body: { trigger: "ohwx", metadata: {} } }));
  data(await api.GET("/api/v1/models/registry/{name}/versions", { params }));
  data(await api.GET(version, { params: one }));
  data(await api.PATCH(version, { params: one, body: { aliases: [] } }));
  data(await api.DELETE(version, { params: { path: { name: "cats", version: "2" } } }));
  data(await api.DELETE("/api/v1/models/registry/{name}", { params }));
}

async function handleAlerts(): Promise<void> {
  const when = ["temperature_gpu > 200"];
  const rule = { rule_id: "hot_ts", title: "hot", scope: "gpu" as const, when, summary: "{gpu}" };
  data(await api.POST("/api/v1/alerts/rules", { body: rule, params: { query: { dry_run: false } } }));
  const named = { path: { rule_id: "hot_ts" } };
  data(await api.GET("/api/v1/alerts/rules/{rule_id}", { params: named }));
  data(await api.PATCH("/api/v1/alerts/rules/{rule_id}", { params: named, body: { enabled: false } }));
  data(await api.GET("/api/v1/alerts/rules"));
  data(await api.DELETE("/api/v1/alerts/rules/{rule_id}", { params: named }));
  data(await api.GET("/api/v1/alerts/metrics"));
  const hook = { name: "hook_ts", kind: "webhook" as const, url: "https://8.8.8.8/x", enabled: false };
  const channel = data(await api.POST("/api/v1/alerts/channels", { body: hook })).channel_id;
  const through = { path: { channel_id: channel } };
  data(await api.GET("/api/v1/alerts/channels/{channel_id}", { params: through }));
  data(await api.PATCH("/api/v1/alerts/channels/{channel_id}", { params: through, body: { per_hour: 7 } }));
  await api.POST("/api/v1/alerts/channels/{channel_id}/test", { params: through });
  data(await api.GET("/api/v1/alerts/channels"));
  data(await api.DELETE("/api/v1/alerts/channels/{channel_id}", { params: through }));
  const until = new Date(Date.now() + 86_400_000).toISOString();
  const quiet = { matchers: [{ label: "rule", value: "hot" }], until, comment: "x" };
  const silence = data(await api.POST("/api/v1/alerts/silences", { body: quiet })).silence_id;
  data(await api.GET("/api/v1/alerts/silences"));
  data(await api.DELETE("/api/v1/alerts/silences/{silence_id}", { params: { path: { silence_id: silence } } }));
  data(await api.GET("/api/v1/alerts"));
  data(await api.GET("/api/v1/alerts/deliveries"));
  const none = { path: { alert_id: "alert_none" } };
  await api.GET("/api/v1/alerts/{alert_id}", { params: none });
  await api.POST("/api/v1/alerts/{alert_id}/acknowledge", { params: none, body: { comment: "" } });
  await api.DELETE("/api/v1/alerts/{alert_id}/acknowledge", { params: none });
}

async function clearUp(taskId: string): Promise<void> {
  const params = { path: { task_id: taskId } };
  data(await api.PATCH("/api/v1/training/{task_id}", { params, body: { priority: 3 } }));
  const again = data(await api.POST("/api/v1/training/restart/{task_id}", { params })).task_id;
  await ends(again, "completed");
  // While its GPU is draining it cannot be deleted.
  await until(async () => {
    const asked = { params: { path: { task_id: again }, query: { files: true } } };
    return (await api.DELETE("/api/v1/training/{task_id}", asked)).response.ok;
  });
}

await askAboutTheMachine();
await lookAtModels();
await uploadByParts();
await uploadByForm();
await holdAGPU();
await manageKeys();
await handleAlerts();
const done = await train();
await readWhatItMade(done);
await clearUp(done);
console.log(JSON.stringify([...called].sort()));
