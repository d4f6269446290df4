// Client of the API of alerts.

import { query, request } from "./api.js";

/** @param {string} id */
const alert = (id) => `/alerts/${encodeURIComponent(id)}`;
/** @param {string} id */
const rule = (id) => `/alerts/rules/${encodeURIComponent(id)}`;
/** @param {string} id */
const channel = (id) => `/alerts/channels/${encodeURIComponent(id)}`;

/** Most rows in one response of the service. */
const MAX_COUNT = 500;

/**
 * The operations of the API.
 * @typedef {object} AlertClient
 * @property {(values: API.Query) => Promise<API.AlertList>} list
 * @property {(id: string) => Promise<API.AlertDetail>} get
 * @property {(id: string) => Promise<API.Alert>} acknowledge
 * @property {(id: string) => Promise<API.Alert>} withdraw
 * @property {(values: API.Query) => Promise<API.SilenceList>} silences
 * @property {(body: API.SilenceRequest, key: string) => Promise<API.Silence>} silence
 * @property {(id: string) => Promise<API.Silence>} endSilence
 * @property {() => Promise<API.RuleList>} rules
 * @property {() => Promise<{metrics: API.AlertMetric[]}>} metrics
 * @property {(body: API.RuleRequest, key: string) => Promise<API.RuleResult>} makeRule
 * @property {(id: string, body: API.RuleChange) => Promise<API.RuleResult>} changeRule
 * @property {(id: string) => Promise<API.Rule>} deleteRule
 * @property {() => Promise<API.ChannelList>} channels
 * @property {(body: API.ChannelRequest, key: string) => Promise<API.Channel>} makeChannel
 * @property {(id: string, body: API.ChannelChange) => Promise<API.Channel>} changeChannel
 * @property {(id: string) => Promise<API.Channel>} deleteChannel
 * @property {(id: string) => Promise<{delivery_id: string}>} testChannel
 * @property {(values: API.Query) => Promise<API.DeliveryList>} deliveries
 */

/** @type {AlertClient} */
export const alertApi = {
  list: (values) => request(`/alerts${query(values)}`),
  get: (id) => request(alert(id)),
  acknowledge: (id) => request(`${alert(id)}/acknowledge`, { method: "POST", body: {} }),
  withdraw: (id) => request(`${alert(id)}/acknowledge`, { method: "DELETE" }),
  silences: (values) => request(`/alerts/silences${query(values)}`),
  silence: (body, key) => request("/alerts/silences", { method: "POST", body, key }),
  endSilence: (id) => request(`/alerts/silences/${encodeURIComponent(id)}`, { method: "DELETE" }),
  rules: () => request(`/alerts/rules${query({ limit: MAX_COUNT })}`),
  metrics: () => request("/alerts/metrics"),
  makeRule: (body, key) => request("/alerts/rules", { method: "POST", body, key }),
  changeRule: (id, body) => request(rule(id), { method: "PATCH", body }),
  deleteRule: (id) => request(rule(id), { method: "DELETE" }),
  channels: () => request(`/alerts/channels${query({ limit: MAX_COUNT })}`),
  makeChannel: (body, key) => request("/alerts/channels", { method: "POST", body, key }),
  changeChannel: (id, body) => request(channel(id), { method: "PATCH", body }),
  deleteChannel: (id) => request(channel(id), { method: "DELETE" }),
  testChannel: (id) => request(`${channel(id)}/test`, { method: "POST" }),
  deliveries: (values) => request(`/alerts/deliveries${query(values)}`),
};
