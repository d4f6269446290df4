// Client of the public HTTP API.

const BASE = "/api/v1";
const TIMEOUT_MS = 20_000;
const PROBE_MS = 5_000;
/** A sweep checks many trainings. */
const SWEEP_MS = 120_000;
/** A model may have gigabytes. */
const LINK_MS = 120_000;
/** A sheet has up to 1,000 pictures. */
const SHEET_TIMEOUT_MS = 120_000;

/** The service rejected a request: message, code, and each error with its JSON pointer. */
export class Refused extends Error {
  /** @param {number} status @param {API.Failure|null} body @param {string|null} [retryAfter] seconds, from the Retry-After header */
  constructor(status, body, retryAfter = null) {
    super(body?.error?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = body?.error?.code ?? "";
    this.errors = body?.error?.errors ?? [];
    this.data = body?.data ?? null;
    /** Seconds until the request may be retried, or null if unknown. */
    this.retryAfter = Number(retryAfter) || null;
  }
}

/** Event on the window when the service responds that no user is signed in. `detail` is the Refused error. */
export const SIGNED_OUT = "signedout";

/** The service did not respond. */
export class Unreachable extends Error {}

/**
 * Sends a request and returns the `data` of the response. Throws Refused or Unreachable. `isSignIn`: a 401 concerns the entered key.
 * @template T
 * @param {string} path below /api/v1
 * @param {{method?: string, body?: unknown, key?: string, signal?: AbortSignal, isSignIn?: boolean, timeout?: number}} [options] `timeout` in milliseconds
 * @returns {Promise<T>}
 */
export async function request(path, { method = "GET", body, key, signal, isSignIn, timeout = TIMEOUT_MS } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const limit = AbortSignal.timeout(timeout);
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

/** Whether the service responds at all. */
export function isAlive() {
  return fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(PROBE_MS) }).then(
    (response) => response.ok,
    () => false,
  );
}

/** A query string of the values that are set. @param {API.Query} values */
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
/** The log of a training, or the server's own. @param {string|null} id */
const logOf = (id) => (id === null ? "/system/logs" : `${task(id)}/logs`);

/**
 * The operations of the API.
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
 * @property {() => Promise<API.Installation>} trainer
 * @property {() => Promise<API.Installation>} checkTrainer
 * @property {(values: API.Query) => Promise<API.TaskList>} tasks
 * @property {(values: API.Query) => Promise<API.Comparison>} compare
 * @property {(id: string) => Promise<API.Task>} task
 * @property {(id: string, values: API.Query) => Promise<API.Series>} metrics
 * @property {(id: string, values: API.Query) => Promise<API.TaskEventList>} events
 * @property {(id: string, values: API.Query) => Promise<API.ArtifactList>} artifacts
 * @property {(id: string) => Promise<API.CheckpointList>} checkpoints
 * @property {(id: string, checkpoint: string, method: API.Export["method"]|null) => Promise<API.Export>} exportCheckpoint
 * @property {(id: string, values: API.Query) => Promise<API.GridSampleList>} samples
 * @property {(id: string, body: API.SamplingRequest, key: string) => Promise<API.Task>} renderSamples
 * @property {(id: string) => Promise<API.SampleRanking>} sampleRanking
 * @property {(id: string, sample: string, rating: number|null) => Promise<API.GridSample>} rateSample
 * @property {(id: string, checkpoint: string|null) => Promise<API.Task>} choose
 * @property {(id: string) => Promise<API.ComfyLinks>} comfyLinks
 * @property {(id: string, checkpoint: string, url: string) => Promise<API.ComfyLink>} linkIntoComfy
 * @property {(id: string, checkpoint: string) => Promise<API.ComfyLinks>} unlinkFromComfy
 * @property {(id: string) => Promise<API.Retention>} retention
 * @property {(id: string, rule: API.Query) => Promise<API.RetentionPreview>} previewRetention
 * @property {(id: string, rule: Record<string, number|null>) => Promise<API.AppliedRetention>} setRetention
 * @property {(body: API.Request) => Promise<API.Validation>} validate
 * @property {(body: API.Request, key: string) => Promise<API.Task>} start
 * @property {(body: API.Request, key: string) => Promise<API.Task>} cache
 * @property {(body: API.Request, key: string) => Promise<API.Task>} rehearse
 * @property {(id: string, body: {force: boolean, keep_lora?: boolean}) => Promise<API.Task>} stop
 * @property {(id: string, body: object) => Promise<API.Task>} resume
 * @property {(id: string) => Promise<API.Task>} save
 * @property {(id: string, key?: string) => Promise<API.Task>} restart
 * @property {(id: string, body: API.TaskChange) => Promise<API.Task>} change
 * @property {(id: string, name: string) => Promise<API.DeletedCheckpoint>} removeCheckpoint
 * @property {(id: string, files: boolean) => Promise<unknown>} remove
 * @property {(id: string|null, values: API.Query, signal?: AbortSignal) => Promise<API.LogPage>} logs
 * @property {(id: string|null, values: API.Query, signal?: AbortSignal) => Promise<API.Search>} searchLogs
 * @property {(values: API.Query, signal?: AbortSignal) => Promise<API.Search>} searchAllLogs
 * @property {() => Promise<API.ModelList>} models
 * @property {(model: string) => Promise<API.PresetList>} presets
 * @property {(body: API.SweepRequest) => Promise<API.SweepResult>} planSweep
 * @property {(body: API.SweepRequest, key: string) => Promise<API.SweepResult>} createSweep
 * @property {(values: API.Query) => Promise<API.SweepList>} sweeps
 * @property {(id: string) => Promise<API.Sweep>} sweep
 * @property {(id: string) => Promise<API.Sweep>} stopSweep
 * @property {() => Promise<API.Ways>} authMethods
 * @property {() => Promise<API.WhoAmI>} whoami
 * @property {(key: string) => Promise<API.WhoAmI>} logIn
 * @property {() => Promise<unknown>} logOut
 * @property {(values: API.Query) => Promise<API.KeyList>} keys
 * @property {(body: API.KeyRequest, key: string) => Promise<API.NewKey>} makeKey
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
  gpus: () => request("/gpu/status"),
  gpu: (id) => request(gpu(id)),
  gpuHistory: (id, values, signal) => request(`${gpu(id)}/history${query(values)}`, { signal }),
  gpuProcesses: (id) => request(`${gpu(id)}/processes`),
  gpuEvents: (values) => request(`/gpu/events${query(values)}`),
  nodes: () => request("/nodes"),
  servers: () => request("/system/servers"),
  drainNode: (name, reason) => request(`${node(name)}/drain`, { method: "POST", body: { reason } }),
  undrainNode: (name) => request(`${node(name)}/undrain`, { method: "POST" }),
  forgetNode: (name) => request(node(name), { method: "DELETE" }),
  overview: () => request("/system/overview"),
  trainer: () => request("/system/trainer"),
  checkTrainer: () => request("/system/trainer/check", { method: "POST" }),
  tasks: (values) => request(`/training/list${query(values)}`),
  compare: (values) => request(`/training/compare${query(values)}`),
  task: (id) => request(task(id)),
  metrics: (id, values) => request(`${task(id)}/metrics${query(values)}`),
  events: (id, values) => request(`${task(id)}/events${query(values)}`),
  checkpoints: (id) => request(`${task(id)}/checkpoints`),
  exportCheckpoint: (id, checkpoint, method) =>
    request(`${task(id)}/export`, { method: "POST", body: { checkpoint, method } }),
  artifacts: (id, values) => request(`${task(id)}/artifacts${query(values)}`),
  samples: (id, values) => request(`${task(id)}/samples${query(values)}`),
  renderSamples: (id, body, key) => request(`${task(id)}/samples`, { method: "POST", body, key }),
  sampleRanking: (id) => request(`${task(id)}/samples/ranking`),
  rateSample: (id, sample, rating) => request(`${task(id)}/samples/${sample}`, { method: "PATCH", body: { rating } }),
  choose: (id, checkpoint) =>
    request(`${task(id)}/chosen`, checkpoint ? { method: "PUT", body: { checkpoint } } : { method: "DELETE" }),
  comfyLinks: (id) => request(`${task(id)}/comfyui`),
  linkIntoComfy: (id, checkpoint, url) =>
    request(`${task(id)}/comfyui/${encodeURIComponent(checkpoint)}`, {
      method: "PUT",
      body: { url },
      timeout: LINK_MS,
    }),
  unlinkFromComfy: (id, checkpoint) =>
    request(`${task(id)}/comfyui/${encodeURIComponent(checkpoint)}`, { method: "DELETE" }),
  retention: (id) => request(`${task(id)}/retention`),
  previewRetention: (id, rule) => request(`${task(id)}/retention/preview${query(rule)}`),
  setRetention: (id, body) => request(`${task(id)}/retention`, { method: "PUT", body }),
  validate: (body) => request("/training/validate", { method: "POST", body }),
  start: (body, key) => request("/training/start", { method: "POST", body, key }),
  cache: (body, key) => request("/training/cache", { method: "POST", body, key }),
  rehearse: (body, key) => request("/training/rehearse", { method: "POST", body, key }),
  planSweep: (body) => request("/sweeps", { method: "POST", body: { ...body, plan_only: true }, timeout: SWEEP_MS }),
  createSweep: (body, key) => request("/sweeps", { method: "POST", body, key, timeout: SWEEP_MS }),
  sweeps: (values) => request(`/sweeps${query(values)}`),
  sweep: (id) => request(`/sweeps/${encodeURIComponent(id)}`),
  stopSweep: (id) => request(`/sweeps/${encodeURIComponent(id)}/stop`, { method: "POST" }),
  stop: (id, body) => request(`${task(id)}/stop`, { method: "POST", body }),
  resume: (id, body) => request(`/training/resume/${encodeURIComponent(id)}`, { method: "POST", body }),
  save: (id) => request(`${task(id)}/save`, { method: "POST" }),
  restart: (id, key) => request(`/training/restart/${encodeURIComponent(id)}`, { method: "POST", key }),
  change: (id, body) => request(task(id), { method: "PATCH", body }),
  removeCheckpoint: (id, name) => request(`${task(id)}/checkpoints/${encodeURIComponent(name)}`, { method: "DELETE" }),
  remove: (id, files) => request(`${task(id)}${query({ files: files ? "true" : "" })}`, { method: "DELETE" }),
  logs: (id, values, signal) => request(`${logOf(id)}${query(values)}`, { signal }),
  searchLogs: (id, values, signal) => request(`${logOf(id)}/search${query(values)}`, { signal }),
  searchAllLogs: (values, signal) => request(`/logs/search${query(values)}`, { signal }),
  models: () => request("/models/list?limit=500"),
  presets: (model) => request(`/models/${encodeURIComponent(model)}/presets`),
  authMethods: () => request("/auth/ways"),
  whoami: () => request("/auth/whoami"),
  logIn: (key) => request("/auth/login", { method: "POST", body: { key }, isSignIn: true }),
  logOut: () => request("/auth/logout", { method: "POST" }),
  keys: (values) => request(`/auth/keys${query(values)}`),
  makeKey: (body, key) => request("/auth/generate-key", { method: "POST", body, key }),
  rotateKey: (id, overlap) =>
    request(`${accessKey(id)}/rotate`, { method: "POST", body: { overlap_seconds: overlap } }),
  revokeKey: (id) => request(accessKey(id), { method: "DELETE" }),
  people: () => request("/auth/users"),
  changeQuota: (user, quota) =>
    request(`/auth/users/${encodeURIComponent(user)}`, { method: "PATCH", body: { quota } }),
  audit: (values) => request(`/auth/audit${query(values)}`),
  verifyAudit: (cursor) => request(`/auth/audit/verify${query({ cursor })}`),
};

/** URL of a task's file. @param {string} id @param {string} path */
export const artifactURL = (id, path) =>
  `${BASE}${task(id)}/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`;

/**
 * Fetches a contact sheet and returns an object URL, which the caller must revoke. Throws Refused or Unreachable.
 * @param {string} id @param {"png"|"html"} format
 */
export async function fetchSheet(id, format) {
  const response = await fetch(`${BASE}${task(id)}/samples/sheet?format=${format}`, {
    credentials: "same-origin",
    signal: AbortSignal.timeout(SHEET_TIMEOUT_MS),
  }).catch((error) => {
    throw new Unreachable(error instanceof Error ? error.message : String(error));
  });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => null));
  return URL.createObjectURL(await response.blob());
}

/** @param {string} id @param {string} checkpoint */
export const previewURL = (id, checkpoint) => `${BASE}${task(id)}/comfyui/${encodeURIComponent(checkpoint)}/preview`;

/** @param {string} id */
export const logDownloadURL = (id) => `${BASE}${task(id)}/logs/download`;
/** @param {string} path */
export const streamURL = (path) => BASE + path;
