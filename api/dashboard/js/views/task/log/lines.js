// The part of a log that is here: a stretch of lines without a gap, grown at both ends, bounded.

import { api } from "../../../api.js";

const TAIL = 1000;
const OLDER_BYTES = 262_144;
const MOST_BYTES = 4_194_304;
/** More lines are not kept: what is far above is fetched again when it is wanted. */
export const MOST_LINES = 100_000;

export class LogLines {
  /** @type {any[]} */
  lines = [];
  /** The unfinished last line, or null. */
  partial = null;
  /** Where the stretch begins, ends, and what the log has. */
  start = 0;
  next = 0;
  first = 0;
  end = 0;
  /** Whether the stretch reaches the log's end, so that what is new belongs to it. */
  isLive = true;
  #loading = null;

  constructor(taskId) {
    this.taskId = taskId;
    this.level = "";
  }

  /** The last lines. */
  async loadTail() {
    const found = await api.logs(this.taskId, { tail: TAIL, level: this.level });
    this.#take(found);
    this.isLive = true;
  }

  /** Lines around an offset, for a find far from what is here. */
  async loadAround(offset) {
    const from = Math.max(this.first, offset - OLDER_BYTES / 2);
    const found = await api.logs(this.taskId, { offset: from, limit_bytes: OLDER_BYTES, level: this.level });
    this.#take(found);
    this.start = from;
    this.isLive = !found.has_more;
  }

  #take(found) {
    [this.lines, this.partial] = split(found.logs);
    this.first = found.first_offset;
    this.next = found.next_offset;
    this.end = found.end_offset;
    // With a filter the first line shown need not be the first that was read.
    this.start = this.lines[0]?.offset ?? found.next_offset;
  }

  get hasOlder() {
    return this.start > this.first;
  }

  /** What lies before; gives how many lines came. One at a time. */
  loadOlder() {
    this.#loading ??= this.#older().finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #older() {
    const before = this.start;
    let size = OLDER_BYTES;
    let older = [];
    // A filter may leave nothing of a stretch: then a longer one.
    while (!older.length && this.start > this.first) {
      const from = Math.max(this.first, this.start - size);
      const found = await api.logs(this.taskId, { offset: from, limit_bytes: this.start - from, level: this.level });
      if (before !== (this.lines[0]?.offset ?? before) && this.lines.length) return 0;
      older = found.logs.filter((line) => line.offset < before && line.is_complete);
      this.first = found.first_offset;
      this.start = older[0]?.offset ?? from;
      size = Math.min(MOST_BYTES, size * 4);
    }
    if (this.lines.length + older.length > MOST_LINES) {
      this.lines = this.lines.slice(0, MOST_LINES - older.length);
      this.next = this.lines.at(-1)?.offset ?? this.next;
      this.isLive = false;
    }
    this.lines = older.concat(this.lines);
    return older.length;
  }

  /** What lies after, when the stretch does not reach the end. */
  async loadNewer() {
    const found = await api.logs(this.taskId, { offset: this.next, limit_bytes: OLDER_BYTES, level: this.level });
    const [lines, partial] = split(found.logs);
    this.lines.push(...lines.filter((line) => line.offset >= this.next));
    this.partial = partial;
    this.next = found.next_offset;
    this.end = found.end_offset;
    this.isLive = !found.has_more;
    return lines.length;
  }

  /** New lines from the stream. @returns how many were dropped at the beginning */
  append(lines, nextOffset) {
    this.end = Math.max(this.end, nextOffset);
    if (!this.isLive) return 0;
    const fresh = lines.filter((line) => line.offset >= this.next && passes(line, this.level));
    if (fresh.length) this.partial = null;
    this.lines.push(...fresh);
    this.next = Math.max(this.next, nextOffset);
    const excess = Math.max(0, this.lines.length - MOST_LINES);
    if (excess) {
      this.lines.splice(0, excess);
      this.start = this.lines[0].offset;
    }
    return excess;
  }

  setPartial(line) {
    if (this.isLive && line.offset >= this.next && passes(line, this.level)) this.partial = line;
  }
}

function split(logs) {
  const last = logs.at(-1);
  return last && !last.is_complete ? [logs.slice(0, -1), last] : [logs, null];
}

const LEVELS = ["debug", "info", "warning", "error"];

/** Whether a line is at least of this level; no level lets all through. */
export const passes = (line, level) => !level || LEVELS.indexOf(line.level) >= LEVELS.indexOf(level);
