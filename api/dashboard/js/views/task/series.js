// The figures of a training over its steps: fetched whole, then continued.

import { api } from "../../api.js";
import { seconds } from "../../format.js";

const LIMIT = 2000;

export class SeriesStore {
  #points = new Map();
  /** Names of all series that there are. */
  available = [];

  constructor(taskId) {
    this.taskId = taskId;
  }

  /** Fetches a metric; an unknown one has no values. */
  async load(metric) {
    const found = await api.metrics(this.taskId, { metric, limit: LIMIT });
    this.available = found.available;
    const points = new Map();
    for (const { step, epoch, value, timestamp } of found.data)
      points.set(step ?? epoch, { value, time: seconds(timestamp) });
    this.#points.set(metric, points);
  }

  /** New points from the stream. A step that is gone over again after a resume replaces what it had. */
  add(points) {
    for (const { metric, step, epoch, value, timestamp } of points) {
      const known = this.#points.get(metric) ?? new Map();
      known.set(step ?? epoch, { value, time: seconds(timestamp) });
      this.#points.set(metric, known);
      if (!this.available.includes(metric)) this.available.push(metric);
    }
  }

  /** @returns {[number, {value: number|null, time: number}][]} by step */
  sorted(metric) {
    return [...(this.#points.get(metric) ?? new Map()).entries()].sort(([a], [b]) => a - b);
  }

  /** @returns {Map<number, number|null>} */
  values(metric) {
    return new Map(this.sorted(metric).map(([step, { value }]) => [step, value]));
  }

  /** The losses of evaluation runs. */
  get evaluations() {
    return this.available.filter((name) => name.endsWith("/loss"));
  }
}

/**
 * An exponential mean, corrected for its beginning; `weight` from 0 (none) to below 1.
 * @param {Map<number, number|null>} values by step
 */
export function smooth(values, weight) {
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
 * Steps a second, from when the steps were: their times have whole seconds, so a value is the mean over a stretch.
 * @param {[number, {time: number}][]} points by step
 */
export function speed(points, pieces = 60) {
  const found = new Map();
  if (points.length < 2) return found;
  const total = points.at(-1)[1].time - points[0][1].time;
  const stretch = Math.max(5, total / pieces);
  let [fromStep, fromTime] = [points[0][0], points[0][1].time];
  for (const [step, { time }] of points) {
    // Time went back: an attempt began anew.
    if (time < fromTime) [fromStep, fromTime] = [step, time];
    if (time - fromTime < stretch) continue;
    found.set(step, (step - fromStep) / (time - fromTime));
    [fromStep, fromTime] = [step, time];
  }
  return found;
}
