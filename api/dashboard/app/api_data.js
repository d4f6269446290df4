// What is asked about datasets.

import { ask, query, Refused, streamURL, Unreachable } from "./api.js";

/** @param {string} name */
const dataset = (name) => `/datasets/${encodeURIComponent(name)}`;

/**
 * What is asked, by its name here.
 * @typedef {object} DataClient
 * @property {(values: API.Query) => Promise<API.DatasetList>} list
 * @property {(body: {name: string, description?: string|null, tags?: string[], directory?: string}, key: string) => Promise<API.Dataset>} make
 * @property {(name: string) => Promise<API.DatasetDetails>} get
 * @property {(name: string, body: {name?: string, description?: string|null, tags?: string[]}) => Promise<API.Dataset>} change
 * @property {(name: string) => Promise<{name: string, kept_for: string[]}>} remove
 * @property {(name: string) => Promise<API.DatasetDetails>} refresh
 * @property {(name: string, values: API.Query) => Promise<API.VersionList>} versions
 * @property {(name: string, values: API.Query) => Promise<API.DatasetCaches>} caches
 * @property {(name: string, version: number, key: string) => Promise<API.DatasetVersion>} restore
 * @property {(name: string, values: API.Query) => Promise<API.ItemList>} items
 * @property {(name: string, id: string, values: API.Query) => Promise<API.Item>} item
 * @property {(name: string, body: API.CaptionsWish) => Promise<API.CaptionEdit>} captions
 * @property {(name: string, body: API.ItemsWish) => Promise<API.ItemsEdit>} editItems
 * @property {(name: string, body: API.SplitWish, key: string) => Promise<API.DatasetSplit>} split
 * @property {(name: string, body: API.CheckWish, signal?: AbortSignal) => Promise<API.DatasetCheck>} check
 * @property {(name: string, id: string, values: API.Query) => Promise<API.Recipe>} recipe
 * @property {(values: API.Query) => Promise<API.WorkPage>} works
 * @property {(id: string) => Promise<API.Work>} work
 * @property {(body: API.WorkWish, key: string) => Promise<API.Work>} preprocess
 * @property {(id: string) => Promise<API.Work>} cancelWork
 * @property {(name: string, body: API.GenerateWish, key?: string) => Promise<API.Generation>} generate
 */

/** A check looks into files for 20 s, and may wait for others. */
const CHECK_MS = 90_000;

/** @type {DataClient} */
export const data = {
  list: (values) => ask(`/datasets${query(values)}`),
  make: (body, key) => ask("/datasets", { method: "POST", body, key }),
  get: (name) => ask(dataset(name)),
  change: (name, body) => ask(dataset(name), { method: "PATCH", body }),
  remove: (name) => ask(dataset(name), { method: "DELETE" }),
  refresh: (name) => ask(`${dataset(name)}/refresh`, { method: "POST" }),
  versions: (name, values) => ask(`${dataset(name)}/versions${query(values)}`),
  caches: (name, values) => ask(`${dataset(name)}/caches${query(values)}`),
  restore: (name, version, key) => ask(`${dataset(name)}/versions/${version}/restore`, { method: "POST", key }),
  items: (name, values) => ask(`${dataset(name)}/items${query(values)}`),
  item: (name, id, values) => ask(`${dataset(name)}/items/${id}${query(values)}`),
  check: (name, body, signal) => ask(`${dataset(name)}/check`, { method: "POST", body, signal, patience: CHECK_MS }),
  recipe: (name, id, values) => ask(`${dataset(name)}/items/${id}/as_trained${query({ ...values, form: "recipe" })}`),
  works: (values) => ask(`/preprocess/list${query(values)}`),
  work: (id) => ask(`/preprocess/status/${encodeURIComponent(id)}`),
  preprocess: (body, key) => ask("/preprocess/start", { method: "POST", body, key }),
  cancelWork: (id) => ask(`/preprocess/${encodeURIComponent(id)}/cancel`, { method: "POST" }),
  generate: (name, body, key) => ask(`${dataset(name)}/captions/generate`, { method: "POST", body, key }),
  captions: (name, body) => ask(`${dataset(name)}/captions`, { method: "PATCH", body }),
  editItems: (name, body) => ask(`${dataset(name)}/items`, { method: "PATCH", body }),
  split: (name, body, key) => ask(`${dataset(name)}/split`, { method: "POST", body, key }),
};

/**
 * The address of a picture of an item, or of its file.
 * @param {string} name @param {string} id @param {"thumbnail"|"media"|"as_trained"} what @param {API.Query} values
 */
export const itemURL = (name, id, what, values) => streamURL(`${dataset(name)}/items/${id}/${what}${query(values)}`);

/** The address of an archive of a version. @param {string} name @param {API.Query} values */
export const exportURL = (name, values) => streamURL(`${dataset(name)}/export${query(values)}`);
/** @param {string} id */
export const workLogURL = (id) => streamURL(`/preprocess/${encodeURIComponent(id)}/logs/download`);

/**
 * A picture of an item, as an address in this page that is to be revoked. Throws Refused or Unreachable: unlike an
 * element of the page this says why there is none.
 * @param {string} address @param {AbortSignal} signal
 */
export async function fetchPicture(address, signal) {
  let response;
  try {
    response = await fetch(address, { signal, credentials: "same-origin" });
    if (response.ok) return URL.createObjectURL(await response.blob());
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Unreachable(error instanceof Error ? error.message : String(error));
  }
  throw new Refused(response.status, await response.json().catch(() => null), response.headers.get("Retry-After"));
}

/** A key by which a request that is sent again is known. */
export const newKey = () => crypto.randomUUID?.() ?? `page-${Date.now()}-${Math.random().toString(36).slice(2)}`;
