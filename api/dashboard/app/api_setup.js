// Client of the API of settings, the setup and the server's files.

import { query, request } from "./api.js";

/**
 * The operations of the API.
 * @typedef {object} SetupClient
 * @property {() => Promise<API.SetupChecklist>} checklist
 * @property {() => Promise<{settings: API.RunTimeSetting[]}>} settings
 * @property {(values: Record<string, API.RunTimeValue>) => Promise<{settings: API.RunTimeSetting[]}>} change
 * @property {(values: API.Query) => Promise<API.FileListing>} files
 */

/** @type {SetupClient} */
export const setup = {
  checklist: () => request("/system/setup"),
  settings: () => request("/settings"),
  change: (values) => request("/settings", { method: "PATCH", body: { values } }),
  files: (values) => request(`/files${query(values)}`),
};
