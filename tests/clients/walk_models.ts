// Base models, downloads, and results as named versions.

import { api, bytes, data, refused, same, text, until } from "./walk_client.js";
import { PICTURE } from "./walk_uploads.js";

export async function readModels(): Promise<void> {
  if (data(await api.GET("/api/v1/models/list")).models.length !== 24) throw new Error("there are 24 model types");
  data(await api.GET("/api/v1/models/{model_id}/presets", { params: { path: { model_id: "wan" } } }));
  const path = { model_id: "flux", name: "24gb" };
  const preset = data(await api.GET("/api/v1/models/{model_id}/presets/{name}", { params: { path } }));
  if (preset.memory_gb !== 24) throw new Error(`it is for ${preset.memory_gb} GB`);
  const flux = { path: { model_id: "flux" } };
  const { tables } = data(await api.GET("/api/v1/models/{model_id}/settings", { params: flux }));
  if (!tables.some(({ name }) => name === "optimizer")) throw new Error("the optimizer has keys");
  const text = { config_toml: "epochs = 2\n" };
  const forms = data(await api.POST("/api/v1/models/{model_id}/convert", { params: flux, body: text }));
  if (forms.config_toml !== text.config_toml) throw new Error("a text stays as it is");
  const saved = { name: "a", model_type: "flux" as const, settings: { epochs: 2 } };
  const own = { path: { preset_id: data(await api.POST("/api/v1/presets", { body: saved })).preset_id } };
  data(await api.PATCH("/api/v1/presets/{preset_id}", { params: own, body: { shared: true } }));
  if (!data(await api.GET("/api/v1/presets/{preset_id}", { params: own })).shared) throw new Error("it is shared");
  data(await api.GET("/api/v1/presets"));
  data(await api.DELETE("/api/v1/presets/{preset_id}", { params: own }));
  const order = { url: `http://${"a".repeat(64)}.example/x`, sha256: "0".repeat(64) };
  const header = { "Idempotency-Key": "typed" };
  const id = data(await api.POST("/api/v1/models/download", { body: order, params: { header } })).download_id;
  const one = { path: { task_id: id } };
  const download = "/api/v1/models/download/{task_id}" as const;
  // Downloads from there are forbidden, so it fails.
  const hasFailed = async () => data(await api.GET(download, { params: one })).status === "failed";
  data(await api.GET("/api/v1/models/downloads"));
  await until(hasFailed);
  // A failed download cannot be paused; it is resumed or cancelled.
  refused(await api.POST(`${download}/pause`, { params: one }), "task_finished");
  data(await api.POST(`${download}/resume`, { params: one }));
  await until(hasFailed);
  if (data(await api.POST(`${download}/cancel`, { params: one })).status !== "cancelled") throw new Error("it goes on");
  const body = { path: "/nowhere/x.safetensors" };
  refused(await api.POST("/api/v1/models/validate", { body }), "weights_not_found");
}

export async function saveAModel(taskId: string, artifact: string): Promise<void> {
  const body = { task_id: taskId, artifact, name: "cats", tags: ["a"], aliases: ["prod"] };
  const header = { "Idempotency-Key": "typed" };
  data(await api.POST("/api/v1/models/registry", { body, params: { header } }));
  data(await api.GET("/api/v1/models/registry"));
  const params = { path: { name: "cats" } };
  data(await api.PATCH("/api/v1/models/registry/{name}", { params, body: { description: "tabby" } }));
  if (data(await api.GET("/api/v1/models/registry/{name}", { params })).versions !== 1) throw new Error("one version");
  const one = { path: { name: "cats", version: "1" } };
  const version = "/api/v1/models/registry/{name}/versions/{version}" as const;
  const order = { repository: "ann/cats", card: "never" as const, revision: "main", private: true, create: true };
  const push = data(await api.POST(`${version}/push`, { params: { ...one, header }, body: order })).push_id;
  const pushed = { path: { task_id: push } };
  const pushes = "/api/v1/models/push/{task_id}" as const;
  // Without a token it fails immediately.
  const hasFailed = async () => data(await api.GET(pushes, { params: pushed })).status === "failed";
  await until(hasFailed);
  data(await api.GET("/api/v1/models/pushes"));
  refused(await api.POST(`${pushes}/pause`, { params: pushed }), "task_finished");
  data(await api.POST(`${pushes}/resume`, { params: pushed }));
  await until(hasFailed);
  if (data(await api.POST(`${pushes}/cancel`, { params: pushed })).status !== "cancelled")
    throw new Error("it goes on");
  text(await api.GET(`${version}/file`, { params: one, parseAs: "text" }));
  await showAVersion();
  data(await api.POST(`${version}/metadata`, { params: one, body: { trigger: "ohwx", metadata: {} } }));
  data(await api.GET("/api/v1/models/registry/{name}/versions", { params }));
  data(await api.GET(version, { params: one }));
  data(await api.PATCH(version, { params: one, body: { aliases: [] } }));
  data(await api.DELETE(version, { params: { path: { name: "cats", version: "2" } } }));
  data(await api.DELETE("/api/v1/models/registry/{name}", { params }));
}

async function showAVersion(): Promise<void> {
  const samples = "/api/v1/models/registry/{name}/versions/{version}/samples" as const;
  const one = { path: { name: "cats", version: "1" } };
  const written = (body: object | undefined) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(body ?? {}))
      form.append(name, name === "file" ? new Blob([PICTURE]) : value, ...(name === "file" ? ["x.png"] : []));
    return form;
  };
  const header = { "Idempotency-Key": "sample" };
  const body = { file: "x.png", prompt: "a cat" };
  const made = data(await api.POST(samples, { params: { ...one, header }, body, bodySerializer: written }));
  same(
    data(await api.GET(samples, { params: one })).samples.some(({ sample_id }) => sample_id === made.sample_id),
    true,
  );
  const sample = { path: { ...one.path, sample_id: made.sample_id } };
  bytes(await api.GET(`${samples}/{sample_id}/file`, { params: sample, parseAs: "arrayBuffer" }));
  bytes(await api.GET(`${samples}/{sample_id}/thumbnail`, { params: sample, parseAs: "arrayBuffer" }));
  data(await api.DELETE(`${samples}/{sample_id}`, { params: sample }));
  const model = { file: "x.safetensors", name: "dogs" };
  const key = { header: { "Idempotency-Key": "dogs" } };
  const sent = await api.POST("/api/v1/models/upload", { params: key, body: model, bodySerializer: written });
  const path = { upload_id: data(sent).upload_id };
  // A picture is not a model.
  await until(async () => data(await api.GET("/api/v1/uploads/{upload_id}", { params: { path } })).status === "failed");
}
