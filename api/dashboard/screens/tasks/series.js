// Metrics of a training by step: fetched once, then extended.

import { api } from "../../app/api.js";
import { seconds } from "../../ui/format.js";

const LIMIT = 2000;

/** The value of a metric at a step, and its time in seconds. @typedef {{value: number|null, time: number}} StepValue */

export class SeriesStore {
  /** By metric, then by step. @type {Map<string, Map<number, StepValue>>} */
  #points = new Map();
  /** Names of all available series. @type {string[]} */
  available = [];
  /** Metrics that are being fetched again. @type {Set<string>} */
  #thinned = new Set();

  /** @param {string} taskId */
  constructor(taskId) {
    this.taskId = taskId;
  }

  /** Fetches a metric; an unknown one has no values. @param {string} metric */
  async load(metric) {
    const found = await api.metrics(this.taskId, { metric, limit: LIMIT });
    this.available = found.available;
    /** @type {Map<number, StepValue>} */
    const points = new Map();
    for (const point of found.data) put(points, point);
    this.#points.set(metric, points);
  }

  /**
   * Adds points from the stream. After a resume, a repeated step replaces its old value.
   * @param {API.Point[]} points
   */
  add(points) {
    for (const point of points) {
      const { metric } = point;
      const known = this.#points.get(metric) ?? new Map();
      put(known, point);
      this.#points.set(metric, known);
      if (!this.available.includes(metric)) this.available.push(metric);
      if (known.size > 2 * LIMIT && !this.#thinned.has(metric)) void this.#thin(metric, known);
    }
  }

  /** Replaces the points of a long stream by the service's selection, which keeps the peaks. @param {string} metric @param {Map<number, StepValue>} known */
  async #thin(metric, known) {
    this.#thinned.add(metric);
    try {
      await this.load(metric);
    } catch {
      return; // The next point tries again.
    } finally {
      this.#thinned.delete(metric);
    }
    const points = this.#points.get(metric) ?? new Map();
    const last = Math.max(...points.keys());
    for (const [step, value] of known) if (step > last) points.set(step, value);
  }

  /** @param {string} metric @returns {[number, StepValue][]} by step */
  sorted(metric) {
    return [...(this.#points.get(metric) ?? new Map()).entries()].sort(([a], [b]) => a - b);
  }

  /** @param {string} metric @returns {Map<number, number|null>} */
  values(metric) {
    return new Map(this.sorted(metric).map(([step, { value }]) => [step, value]));
  }

  /** The losses of evaluations. */
  get evaluations() {
    return this.available.filter((name) => name.endsWith("/loss"));
  }
}

/** @param {Map<number, StepValue>} points @param {Omit<API.Point, "metric">} point */
const put = (points, { step, epoch, value, timestamp }) =>
  points.set(step ?? epoch ?? 0, { value, time: seconds(timestamp) ?? 0 });

/**
 * Exponential moving average with bias correction; `weight` from 0 (none) to below 1.
 * @param {Map<number, number|null>} values by step
 * @param {number} weight
 */
export function smooth(values, weight) {
  /** @type {Map<number, number|null>} */
  const smoothed = new Map();
  let [mean, n] = [0, 0];
  for (const [step, value] of values) {
    if (value === null) {
      smoothed.set(step, null);
      continue;
    }
    n += 1;
    mean = weight * mean + (1 - weight) * value;
    smoothed.set(step, mean / (1 - weight ** n));
  }
  return smoothed;
}

/**
 * Steps per second from the times of steps. Times have whole seconds, so a value is the mean over a range.
 * @param {[number, StepValue][]} points by step
 */
export function speed(points, pieces = 60) {
  /** @type {Map<number, number|null>} */
  const found = new Map();
  if (points.length < 2) return found;
  const total = points[points.length - 1][1].time - points[0][1].time;
  const stretch = Math.max(5, total / pieces);
  let [fromStep, fromTime] = [points[0][0], points[0][1].time];
  for (const [step, { time }] of points) {
    // Time went backwards: a new attempt started.
    if (time < fromTime) [fromStep, fromTime] = [step, time];
    if (time - fromTime < stretch) continue;
    found.set(step, (step - fromStep) / (time - fromTime));
    [fromStep, fromTime] = [step, time];
  }
  return found;
}
