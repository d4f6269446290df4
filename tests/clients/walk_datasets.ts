// Datasets, their versions, items and captions.

import { api, bytes, data, refused, same, until } from "./walk_client.js";
import { hasCompleted, PICTURE, sendForm } from "./walk_uploads.js";

const CATS = { path: { name: "cats" } };

async function look(name: string) {
  return data(await api.GET("/api/v1/datasets/{name}", { params: { path: { name } } })).dataset;
}

/** Uploads two pictures, one of which has a caption, and returns the id of that one. */
export async function fillADataset(): Promise<string> {
  const body = { name: "cats", tags: ["animals"] };
  const header = { "Idempotency-Key": "typed" };
  same(data(await api.POST("/api/v1/datasets", { body, params: { header } })).latest, null);
  for (const [name, caption] of [
    ["a.png", "a cat"],
    ["b.png", ""],
  ] as const) {
    const taskId = await sendForm("cats", name, caption);
    await until(() => hasCompleted(taskId));
  }
  const listed = data(await api.GET("/api/v1/datasets", { params: { query: { search: "cat" } } })).datasets;
  same(
    listed.map((row) => [row.name, row.latest]),
    [["cats", 2]],
  );
  const { items } = data(await api.GET("/api/v1/datasets/{name}/items", { params: CATS }));
  same(
    items.map((item) => [item.name, item.caption]),
    [
      ["a.png", "a cat"],
      ["b.png", null],
    ],
  );
  return items[0]?.item_id ?? "";
}

/** Reads an item, its thumbnail and its trained form, the findings of all items, and the archive. */
export async function readItems(item: string): Promise<void> {
  const one = "/api/v1/datasets/{name}/items/{item_id}" as const;
  const params = { path: { name: "cats", item_id: item } };
  const shown = data(await api.GET(one, { params: { ...params, query: { version: "2" } } }));
  same([shown.width, shown.height, shown.kind], [1, 1, "image"]);
  const media = bytes(await api.GET(`${one}/media`, { params, parseAs: "arrayBuffer" }));
  same(Buffer.from(media).equals(PICTURE), true);
  const small = await api.GET(`${one}/thumbnail`, {
    params: { ...params, query: { size: 128 } },
    parseAs: "arrayBuffer",
  });
  same([...bytes(small).subarray(0, 2)], [0xff, 0xd8]);
  const how = { ...params, query: { model_type: "flux", resolution: "64" } };
  const trained = bytes(await api.GET(`${one}/as_trained`, { params: how, parseAs: "arrayBuffer" }));
  same(Buffer.from(trained.subarray(1, 4)).toString(), "PNG");
  const recipe = data(
    await api.GET(`${one}/as_trained`, { params: { ...how, query: { ...how.query, form: "recipe" } } }),
  );
  same([recipe.width, recipe.height, recipe.is_video], [64, 64, false]);
  const body = { model_type: "flux", resolutions: [64] };
  const checked = data(await api.POST("/api/v1/datasets/{name}/check", { params: CATS, body }));
  same([checked.items, checked.unexamined, checked.duplicates.exact_groups], [2, 0, 1]);
  const asked = { ...CATS, query: { form: "kohya" as const } };
  const archive = bytes(await api.GET("/api/v1/datasets/{name}/export", { params: asked, parseAs: "arrayBuffer" }));
  same(Buffer.from(archive.subarray(0, 2)).toString(), "PK");
}

/** Registers a directory on the server as a dataset, and rescans it. */
export async function useADirectory(directory: string): Promise<void> {
  const body = { name: "registered", directory };
  same(data(await api.POST("/api/v1/datasets", { body })).directory, directory);
  await until(async () => (await look("registered")).latest === 1);
  const params = { path: { name: "registered" } };
  same(data(await api.POST("/api/v1/datasets/{name}/refresh", { params })).dataset.name, "registered");
  await until(async () => (await look("registered")).watch?.state !== "reading");
  data(await api.DELETE("/api/v1/datasets/{name}", { params }));
}

/** Excludes an item and includes it again; splits one off and restores it. */
async function editItems(): Promise<void> {
  const { items } = data(await api.GET("/api/v1/datasets/{name}/items", { params: CATS }));
  const [first = "", ...others] = items.map((each) => each.item_id);
  const address = "/api/v1/datasets/{name}/items";
  const excluded = data(await api.PATCH(address, { params: CATS, body: { exclude: [first] } }));
  same([excluded.excluded, excluded.trained, excluded.version?.excluded], [1, 1, 1]);
  same(data(await api.PATCH(address, { params: CATS, body: { include: [first] } })).included, 1);
  const body = { items: others, into: "dogs" };
  const split = data(await api.POST("/api/v1/datasets/{name}/split", { params: CATS, body }));
  same([split.moved, split.items, split.is_new], [1, 1, true]);
  const back = { path: { name: "cats", version: String(split.previous) } };
  data(await api.POST("/api/v1/datasets/{name}/versions/{version}/restore", { params: back }));
  data(await api.DELETE("/api/v1/datasets/{name}", { params: { path: { name: "dogs" } } }));
}

/** Edits and restores items and captions; renames and deletes the dataset. */
export async function manageDatasets(): Promise<void> {
  await editItems();
  const version = (await look("cats")).latest;
  const edit = { prefix: "ohwx, ", version };
  const edited = data(await api.PATCH("/api/v1/datasets/{name}/captions", { params: CATS, body: edit }));
  same(
    edited.differences.map((each) => each.after),
    edited.differences.map((each) => `ohwx, ${each.before}`),
  );
  same(edited.changed, 2);
  const back = { path: { name: "cats", version: "2" } };
  const restored = data(await api.POST("/api/v1/datasets/{name}/versions/{version}/restore", { params: back }));
  const first = data(await api.GET("/api/v1/datasets/{name}/versions/{version}", { params: back }));
  same(restored.manifest, first.manifest);
  const { versions } = data(await api.GET("/api/v1/datasets/{name}/versions", { params: CATS }));
  same(versions[0]?.version, restored.version);
  const body = { name: "kittens", description: "small" };
  same(data(await api.PATCH("/api/v1/datasets/{name}", { params: CATS, body })).description, "small");
  const gone = { params: { path: { name: "kittens" } } };
  same(data(await api.DELETE("/api/v1/datasets/{name}", gone)).name, "kittens");
  refused(await api.GET("/api/v1/datasets/{name}", gone), "dataset_not_found");
}
