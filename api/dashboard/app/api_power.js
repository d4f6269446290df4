// Client of the API of power limits, and of the end of an idle machine.

import { request } from "./api.js";

/** @param {string|number|null} id */
const limitOf = (id) => `/gpu/${encodeURIComponent(id ?? "")}/power-limit`;

/**
 * The operations of the API.
 * @typedef {object} PowerClient
 * @property {(id: string|number|null) => Promise<API.PowerLimit>} limit
 * @property {(id: string|number|null, wanted: API.PowerLimitRequest) => Promise<API.PowerLimit>} setLimit
 * @property {(id: string|number|null) => Promise<API.PowerLimit>} removeLimit
 * @property {() => Promise<API.IdleEnd>} idle
 * @property {(seconds: number|null) => Promise<API.IdleEnd>} hold with null until the hold is ended
 * @property {() => Promise<API.IdleEnd>} release
 */

/** @type {PowerClient} */
export const power = {
  limit: (id) => request(limitOf(id)),
  setLimit: (id, wanted) => request(limitOf(id), { method: "PUT", body: wanted }),
  removeLimit: (id) => request(limitOf(id), { method: "DELETE" }),
  idle: () => request("/system/idle"),
  hold: (seconds) => request("/system/idle/hold", { method: "POST", body: { seconds } }),
  release: () => request("/system/idle/hold", { method: "DELETE" }),
};
