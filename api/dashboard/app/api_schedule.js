// Client of the API of the schedule, and of pauses and claims of GPUs.

import { request } from "./api.js";

/** @param {string|number|null} id */
const gpu = (id) => `/gpu/${encodeURIComponent(id ?? "")}`;

/**
 * The operations of the API.
 * @typedef {object} ScheduleClient
 * @property {() => Promise<API.Schedule>} get
 * @property {(schedule: {time_zone: string, windows: API.ScheduleWindow[]}) => Promise<API.Schedule>} replace
 * @property {(id: string|number|null, seconds: number) => Promise<unknown>} pause
 * @property {(id: string|number|null) => Promise<unknown>} unpause
 * @property {(id: string|number|null, claim: string) => Promise<unknown>} release
 */

/** @type {ScheduleClient} */
export const schedules = {
  get: () => request("/schedule"),
  replace: (schedule) => request("/schedule", { method: "PUT", body: schedule }),
  pause: (id, seconds) => request(`${gpu(id)}/pause`, { method: "POST", body: { seconds } }),
  unpause: (id) => request(`${gpu(id)}/unpause`, { method: "POST" }),
  release: (id, claim) => request(`${gpu(id)}/claim/${encodeURIComponent(claim)}`, { method: "DELETE" }),
};
