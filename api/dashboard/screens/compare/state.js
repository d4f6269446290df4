// What the address of a comparison stores, and what its parts share.

import { recall } from "../../app/settings.js";

export const LEAST = 2;
export const MOST = 8;

export const AXES = /** @type {const} */ (["step", "epoch", "images", "time"]);
/** @typedef {typeof AXES[number]} Axis */

export const PATH = "/trainings/compare";
const SMOOTHING = "0.8";

/**
 * @typedef {object} Wanted
 * @property {string[]} tasks
 * @property {string} metric of the large chart
 * @property {Axis} axis
 * @property {number} smoothing from 0 to below 1
 * @property {boolean} isLog
 * @property {Set<string>} hidden ids of trainings without a curve
 * @property {boolean} showsAll also settings that are equal
 * @property {number|null} at position of the samples; null: the latest
 */

/** @param {URLSearchParams} query @returns {Wanted} */
export function readWanted(query) {
  const list = (/** @type {string} */ name) => [...new Set((query.get(name) ?? "").split(",").filter(Boolean))];
  const number = (/** @type {string|null} */ text) => (text && Number.isFinite(Number(text)) ? Number(text) : null);
  const smoothing = number(query.get("smoothing") ?? recall("smoothing", SMOOTHING)) ?? 0;
  return {
    tasks: list("tasks").slice(0, MOST),
    metric: query.get("metric") || "loss",
    axis: AXES.find((each) => each === query.get("axis")) ?? "step",
    smoothing: Math.min(0.99, Math.max(0, smoothing)),
    isLog: query.get("log") === "1",
    hidden: new Set(list("hidden")),
    showsAll: query.get("settings") === "all",
    at: number(query.get("at")),
  };
}

/** The values for the address. @param {Wanted} wanted @returns {Record<string, string>} */
export const writeWanted = ({ tasks, metric, axis, smoothing, isLog, hidden, showsAll, at }) => ({
  tasks: tasks.join(","),
  metric,
  axis,
  smoothing: String(smoothing),
  log: isLog ? "1" : "",
  hidden: [...hidden].join(","),
  settings: showsAll ? "all" : "",
  at: at === null ? "" : String(at),
});

/** @param {readonly string[]} ids */
export const compareAddress = (ids) => `#${PATH}?tasks=${ids.map(encodeURIComponent).join(",")}`;

/** The colour of a training, by its place. @param {number} place */
export const colourOf = (place) => `--series-${(place % MOST) + 1}`;

/** @param {{name: string|null, task_id: string}} training */
export const nameOf = ({ name, task_id: id }) => name || id;
