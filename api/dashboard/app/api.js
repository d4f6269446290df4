// The public API, and nothing else.

const BASE = "/api/v1";
const PATIENCE_MS = 20_000;
const PROBE_MS = 5_000;

/** What the service said no to: its words, its code, and every mistake by pointer. */
export class Refused extends Error {
  /** @param {number} status @param {API.Failure|null} body @param {string|null} [retryAfter] seconds, as the header has them */
  constructor(status, body, retryAfter = null) {
    super(body?.error?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = body?.error?.code ?? "";
    this.errors = body?.error?.errors ?? [];
    this.data = body?.data ?? null;
    /** Seconds after which it can be tried again; null when that is not told. */
    this.retryAfter = Number(retryAfter) || null;
  }
}

/** Happens on the window when the service does not know who asks; `detail` is what it said. */
export const SIGNED_OUT = "signedout";

/** The service did not answer. */
export class Unreachable extends Error {}

/**
 * Asks, and gives the envelope's data. Throws Refused or Unreachable. `isSignIn`: a 401 is about the key that is shown.
 * @template T
 * @param {string} path below /api/v1
 * @param {{method?: string, body?: unknown, key?: string, signal?: AbortSignal, isSignIn?: boolean, patience?: number}} [how] `patience` in milliseconds
 * @returns {Promise<T>}
 */
export async function ask(path, { method = "GET", body, key, signal, isSignIn, patience = PATIENCE_MS } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const limit = AbortSignal.timeout(patience);
  let response, answer;
  try {
    response = await fetch(BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      cache: "no-store",
      credentials: "same-origin",
    });
    answer = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (response) throw new Refused(response.status, null);
    throw new Unreachable(error instanceof Error ? error.message : String(error));
  }
  if (!response.ok) {
    const refused = new Refused(response.status, answer, response.headers.get("Retry-After"));
    if (response.status === 401 && !isSignIn) dispatchEvent(new CustomEvent(SIGNED_OUT, { detail: refused }));
    throw refused;
  }
  return answer.data;
}

/** Whether the service answers at all. */
export function lives() {
  return fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(PROBE_MS) }).then(
    (response) => response.ok,
    () => false,
  );
}

/** A query string of what is known. @param {API.Query} values */
export function query(values) {
  const known = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.length ? `?${new URLSearchParams(known.map(([name, value]) => [name, String(value)]))}` : "";
}

/** @param {GPUName} id */
const gpu = (id) => `/gpu/${encodeURIComponent(id ?? "")}`;
/** @param {string} id */
const accessKey = (id) => `/auth/keys/${encodeURIComponent(id)}`;
/** @param {string} id */
const task = (id) => `/training/${encodeURIComponent(id)}`;

/**
 * What is asked, by its name here.
 * @typedef {object} Client
 * @property {() => Promise<API.Snapshot>} gpus
 * @property {(id: GPUName) => Promise<API.GPUDetails>} gpu
 * @property {(id: GPUName, values: API.Query, signal?: AbortSignal) => Promise<API.GPUHistory>} gpuHistory
 * @property {(id: GPUName) => Promise<API.GPUProcesses>} gpuProcesses
 * @property {(values: API.Query) => Promise<{events: API.GPUEvent[]}>} gpuEvents
 * @property {() => Promise<{nodes: API.Node[]}>} nodes
 * @property {() => Promise<{servers: API.Server[]}>} servers
 * @property {(name: string, reason: string) => Promise<API.Node>} drainNode
 * @property {(name: string) => Promise<API.Node>} undrainNode
 * @property {(name: string) => Promise<API.Node>} forgetNode
 * @property {() => Promise<API.Overview>} overview
 * @property {(values: API.Query) => Promise<API.TaskList>} tasks
 * @property {(id: string) => Promise<API.Task>} task
 * @property {(id: string, values: API.Query) => Promise<API.Series>} metrics
 * @property {(id: string, values: API.Query) => Promise<{events: API.TaskEvent[]}>} events
 * @property {(id: string, values: API.Query) => Promise<API.ArtifactList>} artifacts
 * @property {(body: API.Request) => Promise<API.Validation>} validate
 * @property {(body: API.Request, key: string) => Promise<API.Task>} start
 * @property {(body: API.Request, key: string) => Promise<API.Task>} cache
 * @property {(id: string, body: {force: boolean}) => Promise<API.Task>} stop
 * @property {(id: string, body: object) => Promise<API.Task>} resume
 * @property {(id: string) => Promise<API.Task>} save
 * @property {(id: string, key?: string) => Promise<API.Task>} restart
 * @property {(id: string, body: {priority: number}) => Promise<API.Task>} change
 * @property {(id: string, files: boolean) => Promise<unknown>} remove
 * @property {(id: string, values: API.Query, signal?: AbortSignal) => Promise<API.LogPage>} logs
 * @property {(id: string, values: API.Query, signal?: AbortSignal) => Promise<API.Search>} searchLogs
 * @property {() => Promise<API.ModelList>} models
 * @property {(model: string) => Promise<API.PresetList>} presets
 * @property {() => Promise<API.Ways>} ways
 * @property {() => Promise<API.WhoAmI>} whoami
 * @property {(key: string) => Promise<API.WhoAmI>} logIn
 * @property {() => Promise<unknown>} logOut
 * @property {(values: API.Query) => Promise<API.KeyList>} keys
 * @property {(body: API.KeyWish, key: string) => Promise<API.NewKey>} makeKey
 * @property {(id: string, overlap: number) => Promise<API.NewKey>} rotateKey
 * @property {(id: string) => Promise<API.Key>} revokeKey
 * @property {() => Promise<{users: API.Person[]}>} people
 * @property {(user: string, quota: Partial<API.Quota>) => Promise<API.Person>} changeQuota
 * @property {(values: API.Query) => Promise<API.AuditPage>} audit
 * @property {(cursor: string|null) => Promise<API.ChainVerdict>} verifyAudit
 */
/** @param {string} name */
const node = (name) => `/nodes/${encodeURIComponent(name)}`;

/** UUID or index. @typedef {string|number|null} GPUName */

/** @type {Client} */
export const api = {
  gpus: () => ask("/gpu/status"),
  gpu: (id) => ask(gpu(id)),
  gpuHistory: (id, values, signal) => ask(`${gpu(id)}/history${query(values)}`, { signal }),
  gpuProcesses: (id) => ask(`${gpu(id)}/processes`),
  gpuEvents: (values) => ask(`/gpu/events${query(values)}`),
  nodes: () => ask("/nodes"),
  servers: () => ask("/system/servers"),
  drainNode: (name, reason) => ask(`${node(name)}/drain`, { method: "POST", body: { reason } }),
  undrainNode: (name) => ask(`${node(name)}/undrain`, { method: "POST" }),
  forgetNode: (name) => ask(node(name), { method: "DELETE" }),
  overview: () => ask("/system/overview"),
  tasks: (values) => ask(`/training/list${query(values)}`),
  task: (id) => ask(task(id)),
  metrics: (id, values) => ask(`${task(id)}/metrics${query(values)}`),
  events: (id, values) => ask(`${task(id)}/events${query(values)}`),
  artifacts: (id, values) => ask(`${task(id)}/artifacts${query(values)}`),
  validate: (body) => ask("/training/validate", { method: "POST", body }),
  start: (body, key) => ask("/training/start", { method: "POST", body, key }),
  cache: (body, key) => ask("/training/cache", { method: "POST", body, key }),
  stop: (id, body) => ask(`${task(id)}/stop`, { method: "POST", body }),
  resume: (id, body) => ask(`/training/resume/${encodeURIComponent(id)}`, { method: "POST", body }),
  save: (id) => ask(`${task(id)}/save`, { method: "POST" }),
  restart: (id, key) => ask(`/training/restart/${encodeURIComponent(id)}`, { method: "POST", key }),
  change: (id, body) => ask(task(id), { method: "PATCH", body }),
  remove: (id, files) => ask(`${task(id)}${query({ files: files ? "true" : "" })}`, { method: "DELETE" }),
  logs: (id, values, signal) => ask(`${task(id)}/logs${query(values)}`, { signal }),
  searchLogs: (id, values, signal) => ask(`${task(id)}/logs/search${query(values)}`, { signal }),
  models: () => ask("/models/list?limit=500"),
  presets: (model) => ask(`/models/${encodeURIComponent(model)}/presets`),
  ways: () => ask("/auth/ways"),
  whoami: () => ask("/auth/whoami"),
  logIn: (key) => ask("/auth/login", { method: "POST", body: { key }, isSignIn: true }),
  logOut: () => ask("/auth/logout", { method: "POST" }),
  keys: (values) => ask(`/auth/keys${query(values)}`),
  makeKey: (body, key) => ask("/auth/generate-key", { method: "POST", body, key }),
  rotateKey: (id, overlap) => ask(`${accessKey(id)}/rotate`, { method: "POST", body: { overlap_seconds: overlap } }),
  revokeKey: (id) => ask(accessKey(id), { method: "DELETE" }),
  people: () => ask("/auth/users"),
  changeQuota: (user, quota) => ask(`/auth/users/${encodeURIComponent(user)}`, { method: "PATCH", body: { quota } }),
  audit: (values) => ask(`/auth/audit${query(values)}`),
  verifyAudit: (cursor) => ask(`/auth/audit/verify${query({ cursor })}`),
};

/** The address of a file of a task. @param {string} id @param {string} path */
export const artifactURL = (id, path) =>
  `${BASE}${task(id)}/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`;

/** @param {string} id */
export const logDownloadURL = (id) => `${BASE}${task(id)}/logs/download`;
/** @param {string} path */
export const streamURL = (path) => BASE + path;
