// Uses the service through the types of openapi-typescript (schema.d.ts): each kind of request body and response.
// tsc checks them; the argument is the address of the server.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const address = process.argv[2];
if (address === undefined) throw new Error("give the address of a server");
const key = process.env.DIFFUSION_PIPE_API_KEY;
const api = createClient<paths>({ baseUrl: address, headers: { Authorization: `Bearer ${key}` } });

interface Answer {
  error?: components["schemas"]["Failure"];
  response: Response;
}

/** Returns the data of a success; anything else ends the walk. */
function data<T>(answer: Answer & { data?: { data: T } | string }): T {
  if (answer.data === undefined || typeof answer.data === "string")
    throw new Error(`${answer.response.url}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
  return answer.data.data;
}

/** Ends the walk unless both values are equal. */
function same<T>(found: T, expected: T): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== other) throw new Error(`${one} is not ${other}`);
}

async function until(look: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await look()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("timeout");
}

// A body and a response in JSON, and a response without envelope.
const toy = { steps_per_epoch: 10, step_seconds: 0.01 };
const order = { model_type: "toy", gpu_count: 1, config: { epochs: 1, toy } };
const params = { path: { task_id: data(await api.POST("/api/v1/training/start", { body: order })).task_id } };
await until(async () => data(await api.GET("/api/v1/training/{task_id}/progress", { params })).status === "completed");
const log = await api.GET("/api/v1/training/{task_id}/logs/download", { params, parseAs: "text" });
same(typeof log.data === "string" && log.data.includes("TRAINING COMPLETE"), true);

// A form with a file, and a response in bytes.
const picture = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg==",
  "base64",
);
const sent = await api.POST("/api/v1/preprocess/upload", {
  params: { header: { "Idempotency-Key": "form" } },
  body: { file: "x.png", dataset: "typed", prompt: "a cat" },
  bodySerializer: (body) => {
    const form = new FormData();
    form.append("file", new Blob([picture]), body?.file ?? "");
    form.append("dataset", body?.dataset ?? "");
    form.append("prompt", body?.prompt ?? "");
    return form;
  },
});
const upload = { path: { task_id: data(sent).task_id } };
await until(
  async () => data(await api.GET("/api/v1/preprocess/status/{task_id}", { params: upload })).status === "completed",
);
const typed = { path: { name: "typed" } };
const [item] = data(await api.GET("/api/v1/datasets/{name}/items", { params: typed })).items;
same([item?.name, item?.caption, item?.width], ["x.png", "a cat", 1]);
const media = await api.GET("/api/v1/datasets/{name}/items/{item_id}/media", {
  params: { path: { name: "typed", item_id: item?.item_id ?? "" } },
  parseAs: "arrayBuffer",
});
same(media.data instanceof ArrayBuffer && Buffer.from(media.data).equals(picture), true);

// A success without a body, parameters in headers, and a failure.
const version = { "Tus-Resumable": "1.0.0" as const };
const said = { "Upload-Length": 4, "Upload-Metadata": `dataset ${btoa("parts")},filename ${btoa("x.png")}` };
const begun = data(await api.POST("/api/v1/uploads", { params: { header: { ...version, ...said } } })).upload_id;
const path = { upload_id: begun };
const ended = await api.DELETE("/api/v1/uploads/{upload_id}", { params: { path, header: version } });
same(ended.response.ok, true);
const refused = await api.GET("/api/v1/uploads/{upload_id}", { params: { path } });
same(refused.error?.error.code, "upload_not_found");
data(await api.DELETE("/api/v1/datasets/{name}", { params: typed }));
