// What is asked about models: what a training needs, downloads, and what trainings made.

import { ask, query, streamURL } from "./api.js";

/** @param {string} id */
const type = (id) => `/models/${encodeURIComponent(id)}`;
/** @param {string} id */
const download = (id) => `/models/download/${encodeURIComponent(id)}`;
/** @param {string} name */
const registered = (name) => `/models/registry/${encodeURIComponent(name)}`;
/** @param {string} name @param {number|string} version */
const one = (name, version) => `${registered(name)}/versions/${version}`;

/** @param {string} name @param {number} version @param {string} id */
const sample = (name, version, id) => `${one(name, version)}/samples/${encodeURIComponent(id)}`;

/**
 * What is asked, by its name here.
 * @typedef {object} ModelsClient
 * @property {(model: string) => Promise<API.ModelSettings>} settings
 * @property {(model: string, body: API.FormsWish) => Promise<API.RequestForms>} convert
 * @property {(body: {path: string, model_id?: string, key?: string}) => Promise<API.Weights>} examine
 * @property {(body: API.DownloadWish, key: string) => Promise<API.Download>} download
 * @property {(values: API.Query) => Promise<API.DownloadList>} downloads
 * @property {(id: string, what: "pause"|"resume"|"cancel") => Promise<API.Download>} change
 * @property {(values: API.Query) => Promise<API.RegistryList>} registry
 * @property {(body: API.RegisterWish, key: string) => Promise<API.ModelVersion>} register
 * @property {(name: string) => Promise<API.RegisteredModel>} registered
 * @property {(name: string, body: API.RegisteredChange) => Promise<API.RegisteredModel>} changeRegistered
 * @property {(name: string) => Promise<unknown>} removeRegistered
 * @property {(name: string, values: API.Query) => Promise<API.ModelVersionList>} versions
 * @property {(name: string, version: number, body: API.VersionChange) => Promise<API.ModelVersion>} changeVersion
 * @property {(name: string, version: number) => Promise<unknown>} removeVersion
 * @property {(name: string, version: number, body: {trigger?: string}, key: string) => Promise<API.ModelVersion>} writeMetadata
 * @property {(name: string, version: number) => Promise<API.SampleList>} samples
 * @property {(name: string, version: number, id: string) => Promise<unknown>} removeSample
 * @property {(name: string, version: number, body: API.PushWish, key: string) => Promise<API.Push>} push
 * @property {(values: API.Query) => Promise<API.PushList>} pushes
 * @property {(id: string, what: "pause"|"resume"|"cancel") => Promise<API.Push>} changePush
 */

/** @type {ModelsClient} */
export const models = {
  settings: (model) => ask(`${type(model)}/settings`),
  convert: (model, body) => ask(`${type(model)}/convert`, { method: "POST", body }),
  examine: (body) => ask("/models/validate", { method: "POST", body }),
  download: (body, key) => ask("/models/download", { method: "POST", body, key }),
  downloads: (values) => ask(`/models/downloads${query(values)}`),
  change: (id, what) => ask(`${download(id)}/${what}`, { method: "POST" }),
  registry: (values) => ask(`/models/registry${query(values)}`),
  register: (body, key) => ask("/models/registry", { method: "POST", body, key }),
  registered: (name) => ask(registered(name)),
  changeRegistered: (name, body) => ask(registered(name), { method: "PATCH", body }),
  removeRegistered: (name) => ask(registered(name), { method: "DELETE" }),
  versions: (name, values) => ask(`${registered(name)}/versions${query(values)}`),
  changeVersion: (name, version, body) => ask(one(name, version), { method: "PATCH", body }),
  removeVersion: (name, version) => ask(one(name, version), { method: "DELETE" }),
  writeMetadata: (name, version, body, key) => ask(`${one(name, version)}/metadata`, { method: "POST", body, key }),
  samples: (name, version) => ask(`${one(name, version)}/samples?limit=500`),
  removeSample: (name, version, id) => ask(sample(name, version, id), { method: "DELETE" }),
  push: (name, version, body, key) => ask(`${one(name, version)}/push`, { method: "POST", body, key }),
  pushes: (values) => ask(`/models/pushes${query(values)}`),
  changePush: (id, what) => ask(`/models/push/${encodeURIComponent(id)}/${what}`, { method: "POST" }),
};

/** The address of the file of a version. @param {string} name @param {number} version */
export const versionURL = (name, version) => streamURL(`${one(name, version)}/file`);

/** The address of a sample, or of a small picture of it. @param {API.Sample} of @param {"file"|"thumbnail?size=256"|"thumbnail?size=512"} what */
export const sampleURL = ({ model, version, sample_id: id }, what) =>
  streamURL(`${sample(model, version, id)}/${what}`);
