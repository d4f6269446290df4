// Client of the API of sample sets and workflows.

import { query, request } from "./api.js";

/** @param {string} name */
const set = (name) => `/sample-sets/${encodeURIComponent(name)}`;

/**
 * The operations of the API.
 * @typedef {object} SamplingClient
 * @property {() => Promise<API.SampleSetList>} sets
 * @property {(body: API.NewSampleSet, key: string) => Promise<API.SampleSet>} saveSet
 * @property {(name: string, body: API.SampleSetChange) => Promise<API.SampleSet>} changeSet
 * @property {(name: string) => Promise<unknown>} removeSet
 * @property {() => Promise<API.WorkflowList>} workflows
 * @property {(body: API.WorkflowBody) => Promise<API.FoundNodes>} findNodes
 * @property {(body: API.NewWorkflow, key: string) => Promise<API.Workflow>} saveWorkflow
 * @property {(id: string) => Promise<unknown>} removeWorkflow
 */

/** @type {SamplingClient} */
export const samplingApi = {
  sets: () => request(`/sample-sets${query({ limit: 500 })}`),
  saveSet: (body, key) => request("/sample-sets", { method: "POST", body, key }),
  changeSet: (name, body) => request(set(name), { method: "PATCH", body }),
  removeSet: (name) => request(set(name), { method: "DELETE" }),
  workflows: () => request(`/workflows${query({ limit: 500 })}`),
  findNodes: (body) => request("/workflows/nodes", { method: "POST", body }),
  saveWorkflow: (body, key) => request("/workflows", { method: "POST", body, key }),
  removeWorkflow: (id) => request(`/workflows/${encodeURIComponent(id)}`, { method: "DELETE" }),
};
