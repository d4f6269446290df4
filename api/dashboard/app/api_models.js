// Client of the API of models: requirements, downloads, and saved models.

import { query, request, streamURL } from "./api.js";

/** @param {string} id */
const type = (id) => `/models/${encodeURIComponent(id)}`;
/** @param {string} id */
const preset = (id) => `/presets/${encodeURIComponent(id)}`;
/** @param {string} id */
const download = (id) => `/models/download/${encodeURIComponent(id)}`;
/** @param {string} name */
const registered = (name) => `/models/registry/${encodeURIComponent(name)}`;
/** @param {string} name @param {number|string} version */
const one = (name, version) => `${registered(name)}/versions/${version}`;

/** @param {string} name @param {number} version @param {string} id */
const sample = (name, version, id) => `${one(name, version)}/samples/${encodeURIComponent(id)}`;

/**
 * The operations of the API.
 * @typedef {object} ModelsClient
 * @property {(values: API.Query) => Promise<API.OwnPresetList>} ownPresets
 * @property {(body: API.NewPreset, key: string) => Promise<API.OwnPreset>} savePreset
 * @property {(id: string, body: API.PresetChange) => Promise<API.OwnPreset>} changePreset
 * @property {(id: string) => Promise<unknown>} removePreset
 * @property {(model: string) => Promise<API.ModelSettings>} settings
 * @property {(model: string, body: API.FormsRequest) => Promise<API.RequestForms>} convert
 * @property {(body: {path: string, model_id?: string, key?: string}) => Promise<API.Weights>} examine
 * @property {(body: API.DownloadRequest, key: string) => Promise<API.Download>} download
 * @property {(values: API.Query) => Promise<API.DownloadList>} downloads
 * @property {(id: string, what: "pause"|"resume"|"cancel") => Promise<API.Download>} change
 * @property {(values: API.Query) => Promise<API.RegistryList>} registry
 * @property {(body: API.RegisterRequest, key: string) => Promise<API.ModelVersion>} register
 * @property {(name: string) => Promise<API.RegisteredModel>} registered
 * @property {(name: string, body: API.RegisteredChange) => Promise<API.RegisteredModel>} changeRegistered
 * @property {(name: string) => Promise<unknown>} removeRegistered
 * @property {(name: string, values: API.Query) => Promise<API.ModelVersionList>} versions
 * @property {(name: string, version: number, body: API.VersionChange) => Promise<API.ModelVersion>} changeVersion
 * @property {(name: string, version: number) => Promise<unknown>} removeVersion
 * @property {(name: string, version: number, body: {trigger?: string}, key: string) => Promise<API.ModelVersion>} writeMetadata
 * @property {(name: string, version: number) => Promise<API.SampleList>} samples
 * @property {(name: string, version: number, id: string) => Promise<unknown>} removeSample
 * @property {(name: string, version: number, body: API.PushRequest, key: string) => Promise<API.Push>} push
 * @property {(values: API.Query) => Promise<API.PushList>} pushes
 * @property {(id: string, what: "pause"|"resume"|"cancel") => Promise<API.Push>} changePush
 */

/** @type {ModelsClient} */
export const models = {
  ownPresets: (values) => request(`/presets${query(values)}`),
  savePreset: (body, key) => request("/presets", { method: "POST", body, key }),
  changePreset: (id, body) => request(preset(id), { method: "PATCH", body }),
  removePreset: (id) => request(preset(id), { method: "DELETE" }),
  settings: (model) => request(`${type(model)}/settings`),
  convert: (model, body) => request(`${type(model)}/convert`, { method: "POST", body }),
  examine: (body) => request("/models/validate", { method: "POST", body }),
  download: (body, key) => request("/models/download", { method: "POST", body, key }),
  downloads: (values) => request(`/models/downloads${query(values)}`),
  change: (id, what) => request(`${download(id)}/${what}`, { method: "POST" }),
  registry: (values) => request(`/models/registry${query(values)}`),
  register: (body, key) => request("/models/registry", { method: "POST", body, key }),
  registered: (name) => request(registered(name)),
  changeRegistered: (name, body) => request(registered(name), { method: "PATCH", body }),
  removeRegistered: (name) => request(registered(name), { method: "DELETE" }),
  versions: (name, values) => request(`${registered(name)}/versions${query(values)}`),
  changeVersion: (name, version, body) => request(one(name, version), { method: "PATCH", body }),
  removeVersion: (name, version) => request(one(name, version), { method: "DELETE" }),
  writeMetadata: (name, version, body, key) => request(`${one(name, version)}/metadata`, { method: "POST", body, key }),
  samples: (name, version) => request(`${one(name, version)}/samples?limit=500`),
  removeSample: (name, version, id) => request(sample(name, version, id), { method: "DELETE" }),
  push: (name, version, body, key) => request(`${one(name, version)}/push`, { method: "POST", body, key }),
  pushes: (values) => request(`/models/pushes${query(values)}`),
  changePush: (id, what) => request(`/models/push/${encodeURIComponent(id)}/${what}`, { method: "POST" }),
};

/** URL of a version's file. @param {string} name @param {number} version */
export const versionURL = (name, version) => streamURL(`${one(name, version)}/file`);

/**
 * URL of a sample, or of its thumbnail.
 * @param {API.Sample} of @param {"file"|"thumbnail?size=256"|"thumbnail?size=512"} what
 */
export const sampleURL = ({ model, version, sample_id: id }, what) =>
  streamURL(`${sample(model, version, id)}/${what}`);
