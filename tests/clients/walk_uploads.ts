// Uploads by form and in parts.

import { api, data, refused, same, succeeded, until } from "./walk_client.js";

/** A picture of one pixel. */
export const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg==",
  "base64",
);

/** Sends a form with one file and its fields. */
export async function sendForm(dataset: string, name: string, prompt: string): Promise<string> {
  const made = await api.POST("/api/v1/preprocess/upload", {
    params: { header: { "Idempotency-Key": `${dataset}-${name}` } },
    body: { file: name, dataset, prompt },
    bodySerializer: (body) => {
      const form = new FormData();
      form.append("file", new Blob([PICTURE]), body?.file ?? "");
      form.append("dataset", body?.dataset ?? "");
      form.append("prompt", body?.prompt ?? "");
      return form;
    },
  });
  return data(made).task_id;
}

export async function hasCompleted(taskId: string): Promise<boolean> {
  const params = { path: { task_id: taskId } };
  const { status } = data(await api.GET("/api/v1/preprocess/status/{task_id}", { params }));
  if (status === "failed" || status === "cancelled") throw new Error(`${taskId} is ${status}`);
  return status === "completed";
}

export async function uploadByForm(): Promise<void> {
  const taskId = await sendForm("form", "x.png", "a cat");
  await until(() => hasCompleted(taskId));
  const params = { path: { task_id: taskId } };
  const { result } = data(await api.GET("/api/v1/preprocess/status/{task_id}", { params }));
  same([result?.dataset, result?.version, result?.prompt], ["form", 1, "a cat"]);
  data(await api.DELETE("/api/v1/datasets/{name}", { params: { path: { name: "form" } } }));
}

const VERSION = { "Tus-Resumable": "1.0.0" as const };

async function begin(size: number): Promise<string> {
  const said = { "Upload-Length": size, "Upload-Metadata": `dataset ${btoa("parts")},filename ${btoa("x.png")}` };
  return data(await api.POST("/api/v1/uploads", { params: { header: { ...VERSION, ...said } } })).upload_id;
}

async function send(uploadId: string, offset: number, part: Buffer): Promise<void> {
  const sent = await api.PATCH("/api/v1/uploads/{upload_id}", {
    params: { path: { upload_id: uploadId }, header: { ...VERSION, "Upload-Offset": offset } },
    headers: { "Content-Type": "application/offset+octet-stream" },
    body: part.toString("base64"),
    bodySerializer: (body) => Buffer.from(body, "base64"),
  });
  succeeded(sent);
}

export async function uploadByParts(): Promise<void> {
  const params = { path: { upload_id: await begin(PICTURE.length) } };
  const look = async () => data(await api.GET("/api/v1/uploads/{upload_id}", { params }));
  await send(params.path.upload_id, 0, PICTURE.subarray(0, 20));
  same((await look()).offset, 20);
  await send(params.path.upload_id, 20, PICTURE.subarray(20));
  await until(async () => (await look()).status === "completed");
  same((await look()).result?.paths, ["x.png"]);
  const upload_id = await begin(4);
  const { uploads } = data(await api.GET("/api/v1/uploads", { params: { query: { status: "receiving" } } }));
  same(uploads[0]?.upload_id, upload_id);
  const path = { upload_id };
  succeeded(await api.DELETE("/api/v1/uploads/{upload_id}", { params: { path, header: VERSION } }));
  refused(await api.GET("/api/v1/uploads/{upload_id}", { params: { path } }), "upload_not_found");
  data(await api.DELETE("/api/v1/datasets/{name}", { params: { path: { name: "parts" } } }));
}
