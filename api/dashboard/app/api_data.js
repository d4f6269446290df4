// Client of the API of datasets.

import { query, Refused, request, streamURL, Unreachable } from "./api.js";

/** @param {string} name */
const dataset = (name) => `/datasets/${encodeURIComponent(name)}`;

/**
 * The operations of the API.
 * @typedef {object} DataClient
 * @property {(values: API.Query) => Promise<API.DatasetList>} list
 * @property {(body: {name: string, description?: string|null, tags?: string[], directory?: string}, key: string) => Promise<API.Dataset>} make
 * @property {(name: string) => Promise<API.DatasetDetails>} get
 * @property {(name: string, body: {name?: string, description?: string|null, tags?: string[]}) => Promise<API.Dataset>} change
 * @property {(name: string) => Promise<{name: string, kept_for: string[]}>} remove
 * @property {(name: string) => Promise<API.DatasetDetails>} refresh
 * @property {(name: string, values: API.Query) => Promise<API.VersionList>} versions
 * @property {(name: string, version: number) => Promise<API.DatasetVersion>} version
 * @property {(name: string, values: API.Query) => Promise<API.DatasetCaches>} caches
 * @property {(name: string, version: number, key: string) => Promise<API.DatasetVersion>} restore
 * @property {(name: string, values: API.Query) => Promise<API.ItemList>} items
 * @property {(name: string, id: string, values: API.Query) => Promise<API.Item>} item
 * @property {(name: string, body: API.CaptionsRequest) => Promise<API.CaptionEdit>} captions
 * @property {(name: string, body: API.ItemsRequest) => Promise<API.ItemsEdit>} editItems
 * @property {(name: string, body: API.SplitRequest, key: string) => Promise<API.DatasetSplit>} split
 * @property {(name: string, body: API.CheckRequest, signal?: AbortSignal) => Promise<API.DatasetCheck>} check
 * @property {(name: string, id: string, values: API.Query) => Promise<API.Recipe>} recipe
 * @property {(values: API.Query) => Promise<API.WorkPage>} works
 * @property {(id: string) => Promise<API.Work>} work
 * @property {(body: API.WorkRequest, key: string) => Promise<API.Work>} preprocess
 * @property {(id: string) => Promise<API.Work>} cancelWork
 * @property {(name: string, body: API.GenerateRequest, key?: string) => Promise<API.Generation>} generate
 */

/** A check reads files for 20 s and may wait for other checks. */
const CHECK_MS = 90_000;

/** @type {DataClient} */
export const data = {
  list: (values) => request(`/datasets${query(values)}`),
  make: (body, key) => request("/datasets", { method: "POST", body, key }),
  get: (name) => request(dataset(name)),
  change: (name, body) => request(dataset(name), { method: "PATCH", body }),
  remove: (name) => request(dataset(name), { method: "DELETE" }),
  refresh: (name) => request(`${dataset(name)}/refresh`, { method: "POST" }),
  versions: (name, values) => request(`${dataset(name)}/versions${query(values)}`),
  version: (name, version) => request(`${dataset(name)}/versions/${version}`),
  caches: (name, values) => request(`${dataset(name)}/caches${query(values)}`),
  restore: (name, version, key) => request(`${dataset(name)}/versions/${version}/restore`, { method: "POST", key }),
  items: (name, values) => request(`${dataset(name)}/items${query(values)}`),
  item: (name, id, values) => request(`${dataset(name)}/items/${id}${query(values)}`),
  check: (name, body, signal) => request(`${dataset(name)}/check`, { method: "POST", body, signal, timeout: CHECK_MS }),
  recipe: (name, id, values) =>
    request(`${dataset(name)}/items/${id}/as_trained${query({ ...values, form: "recipe" })}`),
  works: (values) => request(`/preprocess/list${query(values)}`),
  work: (id) => request(`/preprocess/status/${encodeURIComponent(id)}`),
  preprocess: (body, key) => request("/preprocess/start", { method: "POST", body, key }),
  cancelWork: (id) => request(`/preprocess/${encodeURIComponent(id)}/cancel`, { method: "POST" }),
  generate: (name, body, key) => request(`${dataset(name)}/captions/generate`, { method: "POST", body, key }),
  captions: (name, body) => request(`${dataset(name)}/captions`, { method: "PATCH", body }),
  editItems: (name, body) => request(`${dataset(name)}/items`, { method: "PATCH", body }),
  split: (name, body, key) => request(`${dataset(name)}/split`, { method: "POST", body, key }),
};

/**
 * URL of an item's image or file.
 * @param {string} name @param {string} id @param {"thumbnail"|"media"|"as_trained"} what @param {API.Query} values
 */
export const itemURL = (name, id, what, values) => streamURL(`${dataset(name)}/items/${id}/${what}${query(values)}`);

/** URL of an archive of a version. @param {string} name @param {API.Query} values */
export const exportURL = (name, values) => streamURL(`${dataset(name)}/export${query(values)}`);
/** @param {string} id */
export const workLogURL = (id) => streamURL(`/preprocess/${encodeURIComponent(id)}/logs/download`);

/**
 * Fetches an item's image and returns an object URL, which the caller must revoke. Throws Refused or Unreachable, so
 * that, unlike with an img element, the cause of a failure is known.
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

/** An idempotency key, by which the service recognises a repeated request. */
export const newKey = () => crypto.randomUUID?.() ?? `page-${Date.now()}-${Math.random().toString(36).slice(2)}`;
