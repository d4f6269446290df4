// The loaded part of a log: a continuous, bounded range of lines that grows at both ends.

import { api } from "../../app/api.js";

const TAIL = 1000;
const OLDER_BYTES = 262_144;
const MAX_BYTES = 4_194_304;
// With a filter, a chunk may contain no lines: most chunks to read before the next scroll.
const MAX_CHUNKS = 8;

/** Most lines stored; older ones are fetched again when needed. */
const MAX_LINES = 100_000;
/** Most lines stored while nobody reads earlier ones. */
export const MAX_FOLLOWED = 5_000;

export class LogLines {
  /** @type {API.LogLine[]} */
  lines = [];
  /** The incomplete last line, or null. @type {API.LogLine|null} */
  partial = null;
  /** Offsets in bytes: start and end of the range, and size of the log. */
  start = 0;
  next = 0;
  first = 0;
  end = 0;
  /** @type {number|null} */
  total = null;
  /** @type {API.LogLevel|""} */
  level = "";
  /** Whether the range reaches the end of the log, so that new lines can be appended. */
  isLive = true;
  isLoaded = false;
  /** @type {Promise<number>|null} */
  #loading = null;

  /** @param {string|null} taskId the training; null: the server's own log */
  constructor(taskId) {
    this.taskId = taskId;
  }

  /** Loads the last lines. */
  async loadTail() {
    const found = await api.logs(this.taskId, { tail: TAIL, level: this.level });
    this.lines = [];
    this.#addNewer(found);
    this.start = this.lines[0]?.offset ?? found.next_offset;
    this.isLive = true;
    this.isLoaded = true;
  }

  /** Loads the lines around an offset, for a match outside the range. @param {number} offset */
  async loadAround(offset) {
    const from = Math.max(this.first, offset - OLDER_BYTES / 2);
    const found = await api.logs(this.taskId, { offset: from, limit_bytes: OLDER_BYTES });
    this.lines = [];
    found.logs = whole(found.logs, from, found.first_offset);
    this.#addNewer(found);
    this.start = found.logs[0]?.offset ?? from;
  }

  get hasOlder() {
    return this.isLoaded && this.start > this.first;
  }

  /** Loads earlier lines; resolves to their number. One request at a time. */
  loadOlder() {
    this.#loading ??= this.#loadOlder().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async #loadOlder() {
    let size = OLDER_BYTES;
    for (let stretch = 0; stretch < MAX_CHUNKS && this.start > this.first; stretch += 1) {
      const end = this.start;
      const from = Math.max(this.first, end - size);
      const found = await this.#read(from, end);
      // Another part of the log was loaded in the meantime.
      if (this.start !== end) return 0;
      const lines = whole(found, from, this.first);
      this.start = lines[0]?.offset ?? from;
      size = Math.min(MAX_BYTES, size * 4);
      const wanted = lines.filter((line) => passes(line, this.level));
      if (wanted.length) return this.#addOlder(wanted);
    }
    return 0;
  }

  /**
   * All lines between two offsets; the service limits the lines per response.
   * @param {number} from @param {number} end
   */
  async #read(from, end) {
    /** @type {API.LogLine[]} */
    const lines = [];
    let at = from;
    while (at < end) {
      const found = await api.logs(this.taskId, { offset: at, limit_bytes: end - at });
      this.first = found.first_offset;
      lines.push(...found.logs.filter((line) => line.offset < end));
      if (found.next_offset <= at) break;
      at = found.next_offset;
    }
    return lines;
  }

  /** @param {API.LogLine[]} lines */
  #addOlder(lines) {
    this.lines = lines.concat(this.lines);
    if (this.lines.length > MAX_LINES) {
      this.next = this.lines[MAX_LINES].offset;
      this.lines.length = MAX_LINES;
      this.partial = null;
      this.isLive = false;
    }
    return lines.length;
  }

  /** Loads later lines, if the range does not reach the end. */
  async loadNewer() {
    const found = await api.logs(this.taskId, { offset: this.next, limit_bytes: OLDER_BYTES, level: this.level });
    this.#addNewer(found);
    this.isLive = !found.has_more;
  }

  /** @param {API.LogPage} found */
  #addNewer(found) {
    const lines = found.logs.filter((line) => passes(line, this.level));
    this.partial = lines.at(-1)?.is_complete === false ? (lines.pop() ?? null) : null;
    this.lines = this.lines.concat(lines);
    this.first = found.first_offset;
    this.next = found.next_offset;
    this.end = found.end_offset;
    this.total = found.total_lines;
    this.isLive = !found.has_more;
    return this.#dropExcess();
  }

  /**
   * Appends lines from the stream.
   * @param {API.LogLine[]} lines @param {number} nextOffset @param {number} [most] lines to store
   * @returns {number} how many were dropped at the beginning
   */
  append(lines, nextOffset, most = MAX_LINES) {
    this.end = Math.max(this.end, nextOffset);
    this.total = Math.max(this.total ?? 0, lines.at(-1)?.line_number ?? 0);
    if (!this.isLive || nextOffset <= this.next) return 0;
    for (const line of lines) if (line.offset >= this.next && passes(line, this.level)) this.lines.push(line);
    this.partial = null;
    this.next = nextOffset;
    return this.#dropExcess(most);
  }

  #dropExcess(most = MAX_LINES) {
    const excess = Math.max(0, this.lines.length - most);
    if (excess) {
      this.lines.splice(0, excess);
      this.start = this.lines[0].offset;
    }
    return excess;
  }

  /** @param {API.LogLine} line */
  setPartial(line) {
    if (this.isLive && line.offset >= this.next && passes(line, this.level)) this.partial = line;
  }
}

/**
 * Removes the line in whose middle the range starts.
 * @param {API.LogLine[]} lines @param {number} from @param {number} first
 */
function whole(lines, from, first) {
  const isPart = from > first && lines.length > 1 && lines[0].offset === from && lines[0].truncated;
  return isPart ? lines.slice(1) : lines;
}

/** @type {(API.LogLevel|"")[]} */
const LEVELS = ["debug", "info", "warning", "error"];

/**
 * Whether a line has at least this level; no level matches all.
 * @param {API.LogLine} line @param {API.LogLevel|""} level
 */
const passes = (line, level) => !level || LEVELS.indexOf(line.level) >= LEVELS.indexOf(level);
