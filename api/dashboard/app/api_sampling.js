// Client of the API of sample sets and workflows.

import { access } from "./access.js";
import { query, request } from "./api.js";

/** @typedef {{name: string, owner: string|null}} Named */

/** @param {Named} set users may have sets of the same name; an empty owner means that it has none */
const path = ({ name, owner }) =>
  `/sample-sets/${encodeURIComponent(name)}?${new URLSearchParams({ owner: owner ?? "" })}`;

/**
 * The sets that can be chosen by name: of several with one name, the own one, else the shared one.
 * @param {readonly API.SampleSet[]} sets @returns {API.SampleSet[]}
 */
export function named(sets) {
  const own = access.value?.who?.user_id ?? null;
  const rank = (/** @type {API.SampleSet} */ each) => (each.owner === own ? 0 : each.shared ? 1 : 2);
  return sets.filter((each) => !sets.some((other) => other.name === each.name && rank(other) < rank(each)));
}

/**
 * The operations of the API.
 * @typedef {object} SamplingClient
 * @property {() => Promise<API.SampleSetList>} sets
 * @property {(body: API.NewSampleSet, key: string) => Promise<API.SampleSet>} saveSet
 * @property {(set: Named, body: API.SampleSetChange) => Promise<API.SampleSet>} changeSet
 * @property {(set: Named) => Promise<unknown>} removeSet
 * @property {() => Promise<API.WorkflowList>} workflows
 * @property {(body: API.WorkflowBody) => Promise<API.FoundNodes>} findNodes
 * @property {(body: API.NewWorkflow, key: string) => Promise<API.Workflow>} saveWorkflow
 * @property {(id: string) => Promise<unknown>} removeWorkflow
 */

/** @type {SamplingClient} */
export const samplingApi = {
  sets: () => request(`/sample-sets${query({ limit: 500 })}`),
  saveSet: (body, key) => request("/sample-sets", { method: "POST", body, key }),
  changeSet: (set, body) => request(path(set), { method: "PATCH", body }),
  removeSet: (set) => request(path(set), { method: "DELETE" }),
  workflows: () => request(`/workflows${query({ limit: 500 })}`),
  findNodes: (body) => request("/workflows/nodes", { method: "POST", body }),
  saveWorkflow: (body, key) => request("/workflows", { method: "POST", body, key }),
  removeWorkflow: (id) => request(`/workflows/${encodeURIComponent(id)}`, { method: "DELETE" }),
};
