// Uploads. They continue across screens, after lost connections, and after a reload if the same files are added again.

import { query, Refused, request, SIGNED_OUT, streamURL } from "../../app/api.js";
import { newKey } from "../../app/api_data.js";
import { soon } from "../../app/debounce.js";
import { refusalText } from "../../app/error_text.js";
import { errorText } from "../../app/i18n.js";
import { Store } from "../../app/store.js";

const AT_A_TIME = 3;
/** Delays before an interrupted part is retried: long enough for a restart of the service. */
const RETRIES_MS = [0, 500, 1000, 3000, 5000, 10_000, 20_000, 30_000];
/** Files up to this size are sent in one request. If interrupted they start again; larger ones continue at an offset. */
const SMALL_BYTES = 256 * 1024;
const ENDPOINT = "/uploads";
/** Poll interval while the service processes uploaded files. */
const POLL_MS = 1000;
const PAGE = 500;
/** Pause that combines updates. */
const NOTIFY_MS = 100;

/** Whether uploads are available: `make install` may have failed to fetch tus-js-client. */
export const canUpload = document.querySelector("meta[name=uploads]") !== null;

/** @typedef {"waiting"|"sending"|"sent"|"done"|"failed"} State */

/**
 * An upload.
 * @typedef {object} Job
 * @property {string} place the target: a dataset name, or a path for other targets, which no dataset name can be
 * @property {string} path @property {File} file
 * @property {string} batch identifies files that were added together
 * @property {Record<string, string>} metadata sent with the upload
 * @property {State} state
 * @property {number} sent bytes
 * @property {string|null} uploadId
 * @property {string|null} problem the service's message about the problem
 * @property {API.Upload["result"]} result
 * @property {import("tus-js-client").Upload|null} upload
 */

/** @type {Job[]} */
let jobs = [];
let isPaused = false;
/** Notified with all jobs after each change. */
export const uploads = new Store(/** @type {{jobs: readonly Job[], isPaused: boolean}} */ ({ jobs, isPaused }));
const notify = soon(() => uploads.set({ jobs, isPaused }), NOTIFY_MS);

/** @type {Set<(place: string, result: API.Upload["result"]) => void>} */
const listeners = new Set();

/**
 * Calls `listener` when a target has received files. The returned function unsubscribes.
 * @param {(place: string, result: API.Upload["result"]) => void} listener
 */
export function onUploaded(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Uploads files to a dataset, or to another target with the given metadata.
 * @param {string} place @param {readonly import("./files.js").Found[]} files @param {Record<string, string>} [about]
 */
export function addFiles(place, files, about = { dataset: place }) {
  const isUnreachable = (/** @type {Job} */ { state }) => state === "failed" || (state === "done" && !about.dataset);
  const here = new Set(jobs.filter((job) => job.place === place && !isUnreachable(job)).map(({ path }) => path));
  const added = files.filter(({ path }) => !here.has(path));
  const isAdded = new Set(added.map(({ path }) => path));
  jobs = jobs.filter((job) => job.place !== place || !isUnreachable(job) || !isAdded.has(job.path));
  const batch = newKey();
  // Files added together become one dataset version.
  /** @type {Record<string, string>} */
  const together = about.dataset && added.length > 1 ? { batch, batch_size: String(added.length) } : {};
  for (const { file, path } of added) {
    const metadata = { ...about, filename: path, ...together };
    const initial = {
      state: /** @type {State} */ ("waiting"),
      sent: 0,
      uploadId: null,
      problem: null,
      upload: null,
      result: null,
    };
    jobs.push({ place, path, file, batch, metadata, ...initial });
  }
  pump();
}

/** Selects targets. @typedef {(place: string) => boolean} Places */

/** Pauses all uploads. */
export function pause() {
  isPaused = true;
  for (const job of jobs) {
    if (job.state !== "sending") continue;
    job.upload?.abort();
    job.state = "waiting";
  }
  notify();
}

export function goOn() {
  isPaused = false;
  pump();
}

/** Retries failed uploads. @param {Places} isMeant */
export function retry(isMeant) {
  for (const job of jobs) {
    if (!isMeant(job.place) || job.state !== "failed") continue;
    Object.assign(job, { state: "waiting", sent: 0, problem: null, uploadId: null, upload: null });
  }
  goOn();
}

/** Cancels incomplete uploads and removes the others. @param {Places} isMeant */
export async function clear(isMeant) {
  const removed = jobs.filter((job) => isMeant(job.place));
  jobs = jobs.filter((job) => !isMeant(job.place));
  isPaused = false;
  notify();
  await Promise.allSettled(
    removed.map(({ state, upload }) => (state === "sending" || state === "waiting") && upload?.abort(true)),
  );
  pump();
}

/**
 * Incomplete uploads that were started here before a reload, or in another tab.
 * @param {(metadata: Record<string, string>) => boolean} isOurs selects by metadata
 */
export async function interrupted(isOurs) {
  if (!canUpload) return [];
  const { default: tus } = await import("../../vendor/tus.js");
  const stored = await tus.defaultOptions.urlStorage.findAllUploads();
  const own = new Set(jobs.map(({ metadata }) => withoutBatch(metadata)));
  return stored.map(({ metadata }) => metadata).filter((each) => isOurs(each) && !own.has(withoutBatch(each)));
}

/** Files added again after a reload belong to another batch. @param {Record<string, string>} metadata */
const withoutBatch = ({ batch, batch_size, ...rest }) => JSON.stringify(rest);

function pump() {
  notify();
  if (isPaused) return;
  let free = AT_A_TIME - jobs.filter(({ state }) => state === "sending").length;
  const pending = free > 0 ? pendingMedia() : new Map();
  for (const job of jobs) {
    if (free <= 0) return;
    if (job.state !== "waiting" || hasToWait(job, pending)) continue;
    free -= 1;
    job.state = "sending";
    send(job).catch((error) => fail(job, String(error?.message ?? error)));
  }
}

/**
 * Batches of media that are not in their dataset yet, by dataset and by path without extension.
 * @returns {Map<string, Set<string>>}
 */
function pendingMedia() {
  /** @type {Map<string, Set<string>>} */
  const pending = new Map();
  for (const { place, path, batch, state } of jobs) {
    if (state === "done" || state === "failed" || isCompanion(path)) continue;
    for (const key of [place, `${place}/${stemOf(path)}`]) {
      pending.set(key, (pending.get(key) ?? new Set()).add(batch));
    }
  }
  return pending;
}

/**
 * Whether a file must wait: the service rejects captions, masks and caption lists without their media.
 * @param {Job} job @param {Map<string, Set<string>>} pending
 */
function hasToWait({ place, path, batch, metadata }, pending) {
  if (!metadata.dataset || !isCompanion(path)) return false;
  const batches = pending.get(path.endsWith(".txt") ? `${place}/${stemOf(path)}` : place) ?? new Set();
  return [...batches].some((each) => each !== batch);
}

/** Whether the path is a text, or an image in a folder of masks or control images. @param {string} path */
const isCompanion = (path) =>
  /\.(txt|jsonl?)$|(^|\/)(masks?|controls?|control_images|conditioning(_images)?)\//i.test(path);
/** @param {string} path */
const stemOf = (path) => path.replace(/\.[^./]*$/, "");

/** @param {Job} job */
async function send(job) {
  const { default: tus } = await import("../../vendor/tus.js");
  const upload = job.upload ?? new tus.Upload(job.file, optionsOf(job));
  if (!job.upload) {
    job.upload = upload;
    const [earlier] = await upload.findPreviousUploads();
    if (earlier) upload.resumeFromPreviousUpload(earlier);
  }
  // It may have been paused or cancelled in the meantime.
  if (job.state === "sending" && jobs.includes(job)) upload.start();
}

/** @param {Job} job @returns {import("tus-js-client").UploadOptions} */
function optionsOf(job) {
  const { place, path, file, metadata } = job;
  return {
    endpoint: streamURL(ENDPOINT),
    metadata,
    retryDelays: RETRIES_MS,
    uploadDataDuringCreation: file.size <= SMALL_BYTES,
    removeFingerprintOnSuccess: true,
    // The same file for the same target and metadata, whatever its directory.
    fingerprint: async () => ["upload", place, path, file.size, file.lastModified, otherMetadata(metadata)].join("|"),
    onShouldRetry: ({ originalResponse: response }) => isRetryable(response?.getStatus() ?? 0),
    onProgress(sent) {
      job.sent = sent;
      notify();
    },
    onError: (error) => refused(job, error),
    onSuccess() {
      job.state = "sent";
      job.sent = file.size;
      job.uploadId = job.upload?.url?.split("/").at(-1) ?? null;
      job.upload = null;
      pollProcessed();
      pump();
    },
  };
}

/** The metadata apart from the target, for uploads outside of datasets. @param {Record<string, string>} metadata */
const otherMetadata = ({ dataset, ...others }) => (dataset ? "" : JSON.stringify(others));

/** Whether a rejected upload may succeed later. Status 0: no response. @param {number} status 0: there was no answer */
const isRetryable = (status) => status < 400 || status >= 500 || [409, 423, 429].includes(status);

/** @param {Job} job @param {Error|import("tus-js-client").DetailedError} error */
function refused(job, error) {
  const response = "originalResponse" in error ? error.originalResponse : null;
  if (!response) return fail(job, error.message);
  /** @type {API.Failure|null} */
  let body = null;
  try {
    body = JSON.parse(response.getBody());
  } catch {
    // A proxy has responded.
  }
  const refused = new Refused(response.getStatus(), body);
  if (refused.status === 401) dispatchEvent(new CustomEvent(SIGNED_OUT, { detail: refused }));
  fail(job, refusalText(refused));
}

/** @param {Job} job @param {string} problem */
function fail(job, problem) {
  Object.assign(job, { state: "failed", problem, upload: null });
  pump();
}

/** Polls the state of processed uploads until all are known. */
const pollProcessed = soon(async () => {
  const waits = new Map(jobs.filter(({ state }) => state === "sent").map((job) => [job.uploadId, job]));
  if (!waits.size) return;
  try {
    for (const report of await newest(waits.size)) settle(waits.get(report.upload_id), report);
  } catch {
    // Keep polling if the service is away.
  }
  if (jobs.some(({ state }) => state === "sent")) pollProcessed();
}, POLL_MS);

/** The newest uploads: at least this number. @param {number} count @returns {Promise<API.Upload[]>} */
async function newest(count) {
  /** @type {API.Upload[]} */
  const found = [];
  /** @type {string|null} */
  let cursor = null;
  do {
    /** @type {API.UploadPage} */
    const page = await request(`${ENDPOINT}${query({ limit: PAGE, cursor })}`);
    found.push(...page.uploads);
    cursor = page.pagination.next_cursor;
  } while (cursor && found.length < count + PAGE);
  return found;
}

/** @param {Job|undefined} job @param {API.Upload} report */
function settle(job, { status, problem, result }) {
  if (!job || (status !== "completed" && status !== "failed")) return;
  Object.assign(job, { state: status === "completed" ? "done" : "failed", result });
  if (problem) job.problem = [problem.entry, errorText(problem.code, problem.message, [])].filter(Boolean).join(": ");
  pump();
  if (status === "completed") for (const listener of listeners) listener(result?.dataset ?? job.place, result);
}

addEventListener("beforeunload", (event) => {
  if (jobs.some(({ state }) => state === "waiting" || state === "sending")) event.preventDefault();
});
