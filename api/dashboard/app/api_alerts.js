// The public API of alerts.

import { ask, query } from "./api.js";

/** @param {string} id */
const alert = (id) => `/alerts/${encodeURIComponent(id)}`;
/** @param {string} id */
const rule = (id) => `/alerts/rules/${encodeURIComponent(id)}`;
/** @param {string} id */
const channel = (id) => `/alerts/channels/${encodeURIComponent(id)}`;

/** Rows that the service gives at once, at most. */
const MOST = 500;

/**
 * What is asked, by its name here.
 * @typedef {object} AlertClient
 * @property {(values: API.Query) => Promise<API.AlertList>} list
 * @property {(id: string) => Promise<API.AlertDetail>} get
 * @property {(id: string) => Promise<API.Alert>} acknowledge
 * @property {(id: string) => Promise<API.Alert>} withdraw
 * @property {(values: API.Query) => Promise<API.SilenceList>} silences
 * @property {(body: API.SilenceWish, key: string) => Promise<API.Silence>} silence
 * @property {(id: string) => Promise<API.Silence>} endSilence
 * @property {() => Promise<API.RuleList>} rules
 * @property {() => Promise<{metrics: API.AlertMetric[]}>} metrics
 * @property {(body: API.RuleWish, key: string) => Promise<API.RuleResult>} makeRule
 * @property {(id: string, body: API.RuleChange) => Promise<API.RuleResult>} changeRule
 * @property {(id: string) => Promise<API.Rule>} deleteRule
 * @property {() => Promise<API.ChannelList>} channels
 * @property {(body: API.ChannelWish, key: string) => Promise<API.Channel>} makeChannel
 * @property {(id: string, body: API.ChannelChange) => Promise<API.Channel>} changeChannel
 * @property {(id: string) => Promise<API.Channel>} deleteChannel
 * @property {(id: string) => Promise<{delivery_id: string}>} testChannel
 * @property {(values: API.Query) => Promise<API.DeliveryList>} deliveries
 */

/** @type {AlertClient} */
export const alertApi = {
  list: (values) => ask(`/alerts${query(values)}`),
  get: (id) => ask(alert(id)),
  acknowledge: (id) => ask(`${alert(id)}/acknowledge`, { method: "POST", body: {} }),
  withdraw: (id) => ask(`${alert(id)}/acknowledge`, { method: "DELETE" }),
  silences: (values) => ask(`/alerts/silences${query(values)}`),
  silence: (body, key) => ask("/alerts/silences", { method: "POST", body, key }),
  endSilence: (id) => ask(`/alerts/silences/${encodeURIComponent(id)}`, { method: "DELETE" }),
  rules: () => ask(`/alerts/rules${query({ limit: MOST })}`),
  metrics: () => ask("/alerts/metrics"),
  makeRule: (body, key) => ask("/alerts/rules", { method: "POST", body, key }),
  changeRule: (id, body) => ask(rule(id), { method: "PATCH", body }),
  deleteRule: (id) => ask(rule(id), { method: "DELETE" }),
  channels: () => ask(`/alerts/channels${query({ limit: MOST })}`),
  makeChannel: (body, key) => ask("/alerts/channels", { method: "POST", body, key }),
  changeChannel: (id, body) => ask(channel(id), { method: "PATCH", body }),
  deleteChannel: (id) => ask(channel(id), { method: "DELETE" }),
  testChannel: (id) => ask(`${channel(id)}/test`, { method: "POST" }),
  deliveries: (values) => ask(`/alerts/deliveries${query(values)}`),
};
