// Readings of the last minutes or hours: fetched once for a range, then extended by snapshots.

import { api } from "../../app/api.js";
import { now } from "../../app/machine.js";
import { seconds } from "../../ui/format.js";

export const RANGES = { "5m": 300, "1h": 3600, "24h": 86_400 };

export const POINTS = 120;
const MAX_AT_ONCE = 3;

/** How to read a metric from a snapshot. */
const METRICS = {
  utilization_gpu: (/** @type {API.GPU} */ gpu) => gpu.utilization_gpu,
  memory_used: (/** @type {API.GPU} */ gpu) => gpu.memory.used,
  temperature_gpu: (/** @type {API.GPU} */ gpu) => gpu.temperature.gpu,
  power_usage: (/** @type {API.GPU} */ gpu) => gpu.power_usage,
};

/** The name of a GPU in requests: the UUID, or node and index. @param {API.GPU} gpu */
export const historyName = ({ node, uuid, gpu_id: index }) =>
  node && index !== null ? `${node}:${index}` : (uuid ?? index);

/** @typedef {keyof typeof METRICS} Metric */
/** @typedef {keyof typeof RANGES} Range */

/** @type {(() => Promise<void>)[]} */
const waiting = [];
let working = 0;

async function work() {
  if (working >= MAX_AT_ONCE) return;
  working += 1;
  for (let next = waiting.shift(); next; next = waiting.shift()) await next();
  working -= 1;
}

/**
 * A queue that limits parallel requests (64 GPUs × 4 lines); visible ones come first.
 * @param {() => Promise<void>} task @returns {Promise<void>}
 */
function soon(task) {
  return new Promise((resolve, reject) => {
    waiting.push(() => task().then(resolve, reject));
    work();
  });
}

export class History {
  /** @type {Map<Metric, import("../../ui/sparkline.js").TimePoint[]>} */
  #points = new Map();
  #abort = new AbortController();
  #step = 1;

  /** @param {import("../../app/api.js").GPUName} gpu @param {Range} range @param {Metric[]} metrics @param {number} [count] of points */
  constructor(gpu, range, metrics, count = POINTS) {
    this.gpu = gpu;
    this.count = count;
    this.seconds = RANGES[range];
    this.metrics = metrics;
  }

  /** Fetches all metrics; `ready` is called after each. @param {() => void} ready */
  load(ready) {
    const step = Math.max(1, Math.round(this.seconds / this.count));
    for (const metric of this.metrics) {
      soon(() => this.#fetch(metric, step)).then(ready, () => {});
    }
  }

  /** @param {Metric} metric @param {number} step */
  async #fetch(metric, step) {
    const signal = this.#abort.signal;
    if (signal.aborted) return;
    const since = new Date((now() - this.seconds) * 1000).toISOString();
    const found = await api.gpuHistory(this.gpu, { metric, since, step }, signal);
    this.#step = Math.max(found.step, 1);
    /** @type {import("../../ui/sparkline.js").TimePoint[]} */
    const points = found.data.map((point) => [seconds(point.timestamp) ?? 0, point.value]);
    const last = points.at(-1)?.[0] ?? 0;
    const later = this.get(metric).filter(([time]) => time > last);
    this.#points.set(metric, [...points, ...later]);
  }

  /** Adds a reading, as a new point if the last is older than one step. @param {API.GPU} gpu */
  add(gpu) {
    const time = seconds(gpu.read_at);
    if (time === null) return;
    for (const metric of this.metrics) {
      const points = this.get(metric);
      const last = points.at(-1)?.[0] ?? 0;
      const value = gpu.stale ? null : METRICS[metric](gpu);
      if (time - last >= this.#step * 0.9) points.push([time, value]);
      else if (time > last && points.length) points[points.length - 1] = [last, value];
      while (points.length && points[0][0] < time - this.seconds * 1.05) points.shift();
      this.#points.set(metric, points);
    }
  }

  /** @param {Metric} metric */
  get(metric) {
    return this.#points.get(metric) ?? [];
  }

  close() {
    this.#abort.abort();
  }
}
