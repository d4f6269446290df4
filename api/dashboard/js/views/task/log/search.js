// Finding in a log: the service searches all of it, and the finds are gone through one by one.

import { api } from "../../../api.js";

const MOST = 1000;

export class LogSearch {
  #abort = null;
  results = [];
  at = -1;
  isComplete = true;
  /** Places in lines, by their offset. */
  marks = new Map();

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
    const found = await api.searchLogs(this.taskId, { ...values, limit: MOST }, signal);
    if (signal.aborted) return;
    this.results = found.results;
    this.isComplete = found.complete;
    for (const each of found.results) {
      if (each.match_start !== null && each.match_end > each.match_start)
        this.marks.set(each.offset, [each.match_start, each.match_end]);
    }
  }

  /** The next find, or the one before; at first the one nearest to an offset. */
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
