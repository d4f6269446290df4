// One live connection per tab. It reconnects, pauses in background tabs, and lets its screen refetch after a gap.

import { access } from "./access.js";
import { api, isAlive, Refused, streamURL } from "./api.js";
import { Store } from "./store.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
// The service sends a comment every 15 s, which scripts cannot see. After this time without messages its health is checked.
const QUIET_MS = 20_000;
const POLL_MS = 5_000;

/** `connecting`, `live`, `polling` (no stream is free), `lost` (with `retryAt`), `resting`. */
/** @typedef {{state: "connecting"|"live"|"polling"|"lost"|"resting", retryAt: number|null}} Connection */
export const connection = new Store(/** @type {Connection} */ ({ state: "connecting", retryAt: null }));

/**
 * @typedef {object} Watching
 * @property {() => string} path of the stream below /api/v1; called for each connection, so that it can contain an offset
 * @property {API.Listeners} on handlers by message type
 * @property {() => Promise<void>} refetch fetches the current state: at first, after each gap, and while polling
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
  #lastMessageAt = 0;

  constructor() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#rest() : this.#open()));
    addEventListener("online", () => this.retry());
    // Pages in the back/forward cache must not hold a connection.
    addEventListener("pagehide", () => this.#drop());
    addEventListener("pageshow", (event) => event.persisted && this.#open());
  }

  /** Replaces the watched screen. @param {Watching|null} watching */
  watch(watching) {
    this.#watching = watching;
    this.#failures = 0;
    if (!watching) connection.set({ state: "resting", retryAt: null });
    this.#open();
  }

  /** Reconnects now instead of later. */
  retry() {
    if (connection.value.state !== "live") this.#open();
  }

  /** Closes the connection, which then counts as live: no more messages will come. */
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
      // A rejected request is a response: the service is alive. The next poll isRequired again.
      if (!(error instanceof Refused) || error.status >= 500) return void this.#lose();
    }
    if (isCurrent()) this.#connect(watching, isCurrent);
  }

  /** @param {Watching} watching @param {() => boolean} isCurrent */
  #connect(watching, isCurrent) {
    const source = new EventSource(streamURL(watching.path()));
    this.#source = source;
    const receive = (/** @type {MessageEvent<string>} */ event) => {
      if (!isCurrent()) return;
      this.#lastMessageAt = Date.now();
      const message = parse(event.data);
      if (message) /** @type {UntypedListeners} */ (watching.on)[message.type]?.(message.data, message);
    };
    source.onopen = () => {
      if (!isCurrent()) return;
      this.#failures = 0;
      this.#lastMessageAt = Date.now();
      connection.set({ state: "live", retryAt: null });
      this.#watchQuiet(this.#generation);
    };
    source.onmessage = receive;
    source.addEventListener("end", receive);
    source.addEventListener("closing", (event) => {
      const reason = /** @type {{reason?: string}|undefined} */ (parse(event.data)?.data)?.reason;
      // A lost permission is noticed immediately; for a server that shuts down, wait.
      if (isCurrent() && reason !== "server_ending") this.#open();
    });
    source.onerror = () => {
      if (!isCurrent()) return;
      // CLOSED: the service responded, but without a stream (too many). Otherwise the connection is lost.
      if (source.readyState === EventSource.CLOSED) this.#poll(isCurrent);
      else this.#lose();
    };
  }

  /** @param {() => boolean} isCurrent */
  #poll(isCurrent) {
    this.#source?.close();
    connection.set({ state: "polling", retryAt: null });
    // The sign-in may have ended: check it now.
    if (access.value?.isRequired) api.whoami().catch(() => {});
    this.#timer = setTimeout(() => isCurrent() && this.#open(), POLL_MS);
  }

  #lose() {
    this.#drop();
    this.#failures += 1;
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#failures - 1));
    // Jitter, so that pages do not reconnect at the same time.
    const wait = longest * (0.7 + 0.3 * Math.random());
    connection.set({ state: "lost", retryAt: Date.now() + wait });
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  /** Checks the service when the connection has been quiet for long: it may be dead. */
  /** @param {number} generation */
  #watchQuiet(generation) {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(async () => {
      if (Date.now() - this.#lastMessageAt >= QUIET_MS) {
        const isThere = await isAlive();
        if (generation !== this.#generation) return;
        if (!isThere) return this.#lose();
      }
      this.#watchQuiet(generation);
    }, QUIET_MS);
  }
}

/** @typedef {{type: string, data: unknown, timestamp: string}} Message */
/**
 * Listeners with untyped data.
 * @typedef {Record<string, (data: unknown, message: Message) => void>} UntypedListeners
 */

/** @param {string} text @returns {Message|null} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
