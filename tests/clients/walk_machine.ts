// The service, its machine and its GPUs.

import type { components } from "./schema.js";
import { api, data, refused, same, text } from "./walk_client.js";

export async function readTheMachine(): Promise<void> {
  data(await api.GET("/health"));
  data(await api.GET("/health/ready"));
  data(await api.GET("/api/v1/system/overview"));
  data(await api.GET("/api/v1/system/logs"));
  data(await api.GET("/api/v1/system/servers"));
  data(await api.GET("/api/v1/system/strays"));
  data(await api.GET("/api/v1/system/trainer"));
  data(await api.POST("/api/v1/system/trainer/check"));
  data(await api.GET("/api/v1/system/setup"));
  data(await api.PATCH("/api/v1/settings", { body: { values: { MAX_CONCURRENT_TASKS: 50 } } }));
  data(await api.GET("/api/v1/settings"));
  data(await api.GET("/api/v1/files"));
  refused(await api.GET("/api/v1/files", { params: { query: { path: "/proc" } } }), "directory_not_found");
  const stray = { path: { attempt_uid: "nobody.1" } };
  refused(await api.POST("/api/v1/system/strays/{attempt_uid}/stop", { params: stray }), "stray_not_found");
  const hold = data(await api.POST("/api/v1/system/holds", { body: { reason: "a look" } }));
  data(await api.GET("/api/v1/system/holds"));
  data(await api.DELETE("/api/v1/system/holds/{hold_id}", { params: { path: { hold_id: hold.hold_id } } }));
  data(await api.PUT("/api/v1/schedule", { body: { time_zone: "UTC", windows: [] } }));
  data(await api.GET("/api/v1/schedule"));
  const first = { params: { path: { gpu_id: "0" } } };
  data(await api.POST("/api/v1/gpu/{gpu_id}/pause", { ...first, body: { seconds: 60 } }));
  data(await api.POST("/api/v1/gpu/{gpu_id}/unpause", first));
  data(
    await api.POST("/api/v1/gpu/{gpu_id}/claim", {
      ...first,
      body: { name: "a game", memory_mb: 2000, ttl_seconds: 60 },
    }),
  );
  data(await api.DELETE("/api/v1/gpu/{gpu_id}/claim/{name}", { params: { path: { gpu_id: "0", name: "a game" } } }));
  data(await api.PUT("/api/v1/gpu/{gpu_id}/power-limit", { ...first, body: { watts: 300 } }));
  same(data(await api.GET("/api/v1/gpu/{gpu_id}/power-limit", first)).watts, 300);
  same(data(await api.DELETE("/api/v1/gpu/{gpu_id}/power-limit", first)).watts, null);
  same(data(await api.GET("/api/v1/system/idle")).ends_at, null);
  refused(await api.POST("/api/v1/system/idle/hold", { body: { seconds: 60 } }), "conflict");
  data(await api.DELETE("/api/v1/system/idle/hold"));
  const [node] = data(await api.GET("/api/v1/nodes")).nodes;
  if (node === undefined) throw new Error("there is no node");
  const named = { params: { path: { name: node.name } } };
  data(await api.POST("/api/v1/nodes/{name}/drain", { ...named, body: { reason: "a look" } }));
  data(await api.POST("/api/v1/nodes/{name}/undrain", named));
  data(await api.GET("/api/v1/nodes/{name}", named));
  refused(await api.DELETE("/api/v1/nodes/{name}", named), "node_is_there");
  const report = { params: { path: { name: "gpu2" } }, body: { report: { format: 9 } } };
  refused(await api.POST("/api/v1/nodes/{name}/report", report), "validation_failed");
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

export async function holdAGPU(): Promise<void> {
  const header = { "Idempotency-Key": "typed" };
  const body = { gpu_ids: [7], task_type: "training" as const };
  const task = data(await api.POST("/api/v1/gpu/tasks", { body, params: { header } }));
  const params = { path: { task_id: task.task_id } };
  data(await api.GET("/api/v1/gpu/tasks"));
  data(await api.GET("/api/v1/gpu/tasks/{task_id}", { params }));
  data(await api.PATCH("/api/v1/gpu/tasks/{task_id}", { params, body: { progress: 5.5 } }));
  data(await api.DELETE("/api/v1/gpu/tasks/{task_id}", { params }));
}
