// One live connection a tab. It heals by itself, rests while nobody looks, and has its screen fetch anew after a gap.

import { access } from "./access.js";
import { api, lives, Refused, streamURL } from "./api.js";
import { Store } from "./store.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
// The service sends a comment every 15 s, which a page cannot see: after so long without news it is asked if it lives.
const QUIET_MS = 20_000;
const POLL_MS = 5_000;

/** `connecting`, `live`, `polling` (the service has no stream to spare), `lost` (with `retryAt`), `resting`. */
/** @typedef {{state: "connecting"|"live"|"polling"|"lost"|"resting", retryAt: number|null}} Connection */
export const connection = new Store(/** @type {Connection} */ ({ state: "connecting", retryAt: null }));

/**
 * @typedef {object} Watching
 * @property {() => string} path of the stream below /api/v1: asked for each connection, so that it can name an offset
 * @property {API.Listeners} on what to do by a message's type
 * @property {() => Promise<void>} refetch brings the present state: at first, after each gap, and instead of a stream
 */

export class Stream {
  /** @type {Watching|null} */
  #watching = null;
  /** @type {EventSource|null} */
  #source = null;
  #timer = 0;
  #quiet = 0;
  #failures = 0;
  #generation = 0;
  #heardAt = 0;

  constructor() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#rest() : this.#open()));
    addEventListener("online", () => this.retry());
    // A page kept for the way back must not keep a connection.
    addEventListener("pagehide", () => this.#drop());
    addEventListener("pageshow", (event) => event.persisted && this.#open());
  }

  /** Leaves what was watched, and watches this. @param {Watching|null} watching */
  watch(watching) {
    this.#watching = watching;
    this.#failures = 0;
    if (!watching) connection.set({ state: "resting", retryAt: null });
    this.#open();
  }

  /** Tries now instead of later. */
  retry() {
    if (connection.value.state !== "live") this.#open();
  }

  /** Nothing more will come: the connection is closed and counts as live. */
  finish() {
    this.#drop();
    connection.set({ state: "live", retryAt: null });
    this.#watchQuiet(this.#generation);
  }

  #rest() {
    this.#drop();
    connection.set({ state: "resting", retryAt: null });
  }

  #drop() {
    this.#generation += 1;
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#quiet);
  }

  async #open() {
    this.#drop();
    const watching = this.#watching;
    if (!watching || document.hidden) return;
    const generation = this.#generation;
    const isCurrent = () => generation === this.#generation;
    try {
      await watching.refetch();
    } catch (error) {
      if (!isCurrent()) return;
      // A refusal is an answer: the service lives. What it refused, the next round asks for again.
      if (!(error instanceof Refused) || error.status >= 500) return void this.#lose();
    }
    if (isCurrent()) this.#connect(watching, isCurrent);
  }

  /** @param {Watching} watching @param {() => boolean} isCurrent */
  #connect(watching, isCurrent) {
    const source = new EventSource(streamURL(watching.path()));
    this.#source = source;
    const hear = (/** @type {MessageEvent<string>} */ event) => {
      if (!isCurrent()) return;
      this.#heardAt = Date.now();
      const message = parse(event.data);
      if (message) /** @type {Heard} */ (watching.on)[message.type]?.(message.data, message);
    };
    source.onopen = () => {
      if (!isCurrent()) return;
      this.#failures = 0;
      this.#heardAt = Date.now();
      connection.set({ state: "live", retryAt: null });
      this.#watchQuiet(this.#generation);
    };
    source.onmessage = hear;
    source.addEventListener("end", hear);
    source.addEventListener("closing", (event) => {
      const reason = /** @type {{reason?: string}|undefined} */ (parse(event.data)?.data)?.reason;
      // Whoever may no longer have it learns so at once; a service that ends is waited for.
      if (isCurrent() && reason !== "server_ending") this.#open();
    });
    source.onerror = () => {
      if (!isCurrent()) return;
      // CLOSED: the service answered, but not with a stream (too many). Otherwise it is gone, and so is the connection.
      if (source.readyState === EventSource.CLOSED) this.#poll(isCurrent);
      else this.#lose();
    };
  }

  /** @param {() => boolean} isCurrent */
  #poll(isCurrent) {
    this.#source?.close();
    connection.set({ state: "polling", retryAt: null });
    // It may be that nobody is signed in any more: that is asked at once.
    if (access.value?.asks) api.whoami().catch(() => {});
    this.#timer = setTimeout(() => isCurrent() && this.#open(), POLL_MS);
  }

  #lose() {
    this.#drop();
    this.#failures += 1;
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#failures - 1));
    // Spread, so that all pages do not come back in the same moment.
    const wait = longest * (0.7 + 0.3 * Math.random());
    connection.set({ state: "lost", retryAt: Date.now() + wait });
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  /** A connection can be dead without a word: when it is quiet for long, the service is asked. */
  /** @param {number} generation */
  #watchQuiet(generation) {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(async () => {
      if (Date.now() - this.#heardAt >= QUIET_MS) {
        const isThere = await lives();
        if (generation !== this.#generation) return;
        if (!isThere) return this.#lose();
      }
      this.#watchQuiet(generation);
    }, QUIET_MS);
  }
}

/** @typedef {{type: string, data: unknown, timestamp: string}} Message */
/** What listens, before it is known to what. @typedef {Record<string, (data: unknown, message: Message) => void>} Heard */

/** @param {string} text @returns {Message|null} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
