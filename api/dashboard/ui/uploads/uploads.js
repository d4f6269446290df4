// Uploads: they go on while one looks at other screens, go on after a cut, and after a reload once the same files are given again.

import { ask, query, Refused, SIGNED_OUT, streamURL } from "../../app/api.js";
import { newKey } from "../../app/api_data.js";
import { errorText } from "../../app/i18n.js";
import { refusalWords } from "../../app/refusal.js";
import { soon } from "../../app/soon.js";
import { Store } from "../../app/store.js";

const AT_A_TIME = 3;
/** Pauses before a part that was cut off is sent again: as long as a service may be restarted. */
const RETRIES_MS = [0, 500, 1000, 3000, 5000, 10_000, 20_000, 30_000];
/** What is so small comes in one request. Cut off, it begins anew: where a larger one goes on is told before its first byte. */
const SMALL_BYTES = 256 * 1024;
const ENDPOINT = "/uploads";
/** What is here is looked into: how often that is asked for. */
const LOOK_MS = 1000;
const PAGE = 500;
/** Several changes are shown together. */
const TELL_MS = 100;

/** Whether the page can upload: `make install` may not have been able to fetch what that needs. */
export const canUpload = document.querySelector("meta[name=uploads]") !== null;

/** @typedef {"waiting"|"sending"|"sent"|"done"|"failed"} State */

/**
 * A file on its way.
 * @typedef {object} Job
 * @property {string} place the dataset that it is for; of others a path, which no dataset is called
 * @property {string} path @property {File} file
 * @property {string} batch names those that were added together
 * @property {Record<string, string>} metadata what the service is told of it
 * @property {State} state
 * @property {number} sent bytes
 * @property {string|null} uploadId
 * @property {string|null} problem in the service's words
 * @property {API.Upload["result"]} result
 * @property {import("tus-js-client").Upload|null} upload
 */

/** @type {Job[]} */
let jobs = [];
let isPaused = false;
/** Told of all jobs whenever one has changed. */
export const uploads = new Store(/** @type {{jobs: readonly Job[], isPaused: boolean}} */ ({ jobs, isPaused }));
const tell = soon(() => uploads.set({ jobs, isPaused }), TELL_MS);

/** @type {Set<(place: string, result: API.Upload["result"]) => void>} */
const listeners = new Set();

/** Calls `listener` when a dataset, or another place, has got something; what it returns ends that. @param {(place: string, result: API.Upload["result"]) => void} listener */
export function onUploaded(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Sends files to a dataset, or, with what is to be told of them, elsewhere. @param {string} place @param {readonly import("./files.js").Found[]} files @param {Record<string, string>} [about] */
export function addFiles(place, files, about = { dataset: place }) {
  const isGone = (/** @type {Job} */ { state }) => state === "failed" || (state === "done" && !about.dataset);
  const here = new Set(jobs.filter((job) => job.place === place && !isGone(job)).map(({ path }) => path));
  const added = files.filter(({ path }) => !here.has(path));
  const isAdded = new Set(added.map(({ path }) => path));
  jobs = jobs.filter((job) => job.place !== place || !isGone(job) || !isAdded.has(job.path));
  const batch = newKey();
  // What goes into a dataset together becomes one version.
  /** @type {Record<string, string>} */
  const together = about.dataset && added.length > 1 ? { batch, batch_size: String(added.length) } : {};
  for (const { file, path } of added) {
    const metadata = { ...about, filename: path, ...together };
    const begun = {
      state: /** @type {State} */ ("waiting"),
      sent: 0,
      uploadId: null,
      problem: null,
      upload: null,
      result: null,
    };
    jobs.push({ place, path, file, batch, metadata, ...begun });
  }
  pump();
}

/** Which places are meant. @typedef {(place: string) => boolean} Places */

/** What is under way stops where it is. */
export function pause() {
  isPaused = true;
  for (const job of jobs) {
    if (job.state !== "sending") continue;
    job.upload?.abort();
    job.state = "waiting";
  }
  tell();
}

export function goOn() {
  isPaused = false;
  pump();
}

/** Tries again what has failed. @param {Places} isMeant */
export function retry(isMeant) {
  for (const job of jobs) {
    if (!isMeant(job.place) || job.state !== "failed") continue;
    Object.assign(job, { state: "waiting", sent: 0, problem: null, uploadId: null, upload: null });
  }
  goOn();
}

/** Gives up what has not come whole, and forgets the rest. @param {Places} isMeant */
export async function clear(isMeant) {
  const gone = jobs.filter((job) => isMeant(job.place));
  jobs = jobs.filter((job) => !isMeant(job.place));
  isPaused = false;
  tell();
  await Promise.allSettled(
    gone.map(({ state, upload }) => (state === "sending" || state === "waiting") && upload?.abort(true)),
  );
  pump();
}

/**
 * Uploads that were begun here and have not come whole: by a reload, or another tab.
 * @param {(metadata: Record<string, string>) => boolean} isOurs by what the service was told of them
 */
export async function interrupted(isOurs) {
  if (!canUpload) return [];
  const { default: tus } = await import("../../vendor/tus.js");
  const kept = await tus.defaultOptions.urlStorage.findAllUploads();
  const own = new Set(jobs.map(({ metadata }) => withoutBatch(metadata)));
  return kept.map(({ metadata }) => metadata).filter((each) => isOurs(each) && !own.has(withoutBatch(each)));
}

/** Files that are given again after a reload are another batch. @param {Record<string, string>} metadata */
const withoutBatch = ({ batch, batch_size, ...rest }) => JSON.stringify(rest);

function pump() {
  tell();
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

/** The batches of media that no dataset has yet, by the datasets that they are for, and by their paths without ending. @returns {Map<string, Set<string>>} */
function pendingMedia() {
  /** @type {Map<string, Set<string>>} */
  const pending = new Map();
  for (const { place, path, batch, state } of jobs) {
    if (state === "done" || state === "failed" || isBeside(path)) continue;
    for (const key of [place, `${place}/${stemOf(path)}`]) {
      pending.set(key, (pending.get(key) ?? new Set()).add(batch));
    }
  }
  return pending;
}

/** What belongs to media is refused where these are not there, unless they come with it: a caption follows its own, a list of them all. @param {Job} job @param {Map<string, Set<string>>} pending */
function hasToWait({ place, path, batch, metadata }, pending) {
  if (!metadata.dataset || !isBeside(path)) return false;
  const batches = pending.get(path.endsWith(".txt") ? `${place}/${stemOf(path)}` : place) ?? new Set();
  return [...batches].some((each) => each !== batch);
}

/** Texts, and pictures in folders of masks and controls. @param {string} path */
const isBeside = (path) =>
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
  // It may have been paused or given up meanwhile.
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
    // The same file for the same place, whatever it is called where it comes from; and told of in the same words.
    fingerprint: async () => ["upload", place, path, file.size, file.lastModified, wordsOf(metadata)].join("|"),
    onShouldRetry: ({ originalResponse: response }) => mayPass(response?.getStatus() ?? 0),
    onProgress(sent) {
      job.sent = sent;
      tell();
    },
    onError: (error) => refused(job, error),
    onSuccess() {
      job.state = "sent";
      job.sent = file.size;
      job.uploadId = job.upload?.url?.split("/").at(-1) ?? null;
      job.upload = null;
      look();
      pump();
    },
  };
}

/** What is told of an upload besides where it belongs in a dataset. @param {Record<string, string>} metadata */
const wordsOf = ({ dataset, ...words }) => (dataset ? "" : JSON.stringify(words));

/** Whether what was refused with this status may be taken later. @param {number} status 0: there was no answer */
const mayPass = (status) => status < 400 || status >= 500 || [409, 423, 429].includes(status);

/** @param {Job} job @param {Error|import("tus-js-client").DetailedError} error */
function refused(job, error) {
  const response = "originalResponse" in error ? error.originalResponse : null;
  if (!response) return fail(job, error.message);
  /** @type {API.Failure|null} */
  let body = null;
  try {
    body = JSON.parse(response.getBody());
  } catch {
    // Something between here and the service has answered.
  }
  const said = new Refused(response.getStatus(), body);
  if (said.status === 401) dispatchEvent(new CustomEvent(SIGNED_OUT, { detail: said }));
  fail(job, refusalWords(said));
}

/** @param {Job} job @param {string} problem */
function fail(job, problem) {
  Object.assign(job, { state: "failed", problem, upload: null });
  pump();
}

/** Asks what has become of what is here, until all of it is known. */
const look = soon(async () => {
  const waits = new Map(jobs.filter(({ state }) => state === "sent").map((job) => [job.uploadId, job]));
  if (!waits.size) return;
  try {
    for (const told of await newest(waits.size)) settle(waits.get(told.upload_id), told);
  } catch {
    // A service that is away is asked again.
  }
  if (jobs.some(({ state }) => state === "sent")) look();
}, LOOK_MS);

/** The newest uploads, at least so many and some more. @param {number} count @returns {Promise<API.Upload[]>} */
async function newest(count) {
  /** @type {API.Upload[]} */
  const found = [];
  /** @type {string|null} */
  let cursor = null;
  do {
    /** @type {API.UploadPage} */
    const page = await ask(`${ENDPOINT}${query({ limit: PAGE, cursor })}`);
    found.push(...page.uploads);
    cursor = page.pagination.next_cursor;
  } while (cursor && found.length < count + PAGE);
  return found;
}

/** @param {Job|undefined} job @param {API.Upload} told */
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
