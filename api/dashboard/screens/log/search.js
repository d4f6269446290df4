// Search in a log: the service searches all of it; the user steps through the matches.

import { api } from "../../app/api.js";

const MAX_COUNT = 1000;

export class LogSearch {
  /** @type {AbortController|null} */
  #abort = null;
  /** @type {API.SearchHit[]} */
  results = [];
  at = -1;
  isComplete = true;
  /** Match positions in lines, by offset. @type {Map<number, [from: number, to: number]>} */
  marks = new Map();

  /** @param {string} taskId */
  constructor(taskId) {
    this.taskId = taskId;
  }

  clear() {
    this.#abort?.abort();
    this.results = [];
    this.marks = new Map();
    this.at = -1;
    this.isComplete = true;
  }

  /** @param {{keyword?: string, regex?: string, level?: string, ignore_case?: string}} values */
  async run(values) {
    this.clear();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const found = await api.searchLogs(this.taskId, { ...values, limit: MAX_COUNT }, signal);
    if (signal.aborted) return;
    this.results = found.results;
    this.isComplete = found.complete;
    for (const { offset, match_start: from, match_end: to } of found.results) {
      if (from !== null && to !== null && to > from) this.marks.set(offset, [from, to]);
    }
  }

  /**
   * The next or previous match; at first the one nearest to an offset.
   * @param {number} by @param {number|null} [offset]
   */
  step(by, offset = null) {
    const { length } = this.results;
    if (!length) return null;
    if (this.at < 0 && offset !== null) {
      const after = this.results.findIndex((each) => each.offset > offset);
      this.at = by > 0 ? Math.max(0, after) : (after < 0 ? length : after) - 1;
      if (this.at < 0) this.at = length - 1;
    } else this.at = (this.at + by + length) % length;
    return this.results[this.at];
  }
}
