// The four readings of a GPU: formats and warning levels.

import { t } from "../../app/i18n.js";
import { count, gigabytes, isKnown, percent, UNKNOWN, unit } from "../../ui/format.js";

// Temperature at which most boards start to throttle; the board's own limit is in its details.
const WARM = 83;
const HOT = 90;

/** @param {number|null} part @param {number|null} total */
const share = (part, total) => (isKnown(part) && isKnown(total) && total > 0 ? (100 * part) / total : null);

/**
 * A reading of a GPU.
 * @typedef {object} Reading
 * @property {import("./history.js").Metric} metric
 * @property {string} label
 * @property {(gpu: API.GPU) => string} value
 * @property {(gpu: API.GPU) => string} total the total of which it is a part
 * @property {(value: number) => string} show formats any value
 * @property {(gpu: API.GPU) => number|null} bar
 * @property {(gpu: API.GPU) => string|null} level
 * @property {(gpu: API.GPU) => number|null} top upper edge of the line
 */

/** @param {number|null} degrees */
const heat = (degrees) => (degrees === null ? null : degrees >= HOT ? "bad" : degrees >= WARM ? "warn" : null);

/** @type {Reading[]} */
export const READINGS = [
  {
    metric: "utilization_gpu",
    label: t("gpu.utilization"),
    value: (gpu) => percent(gpu.utilization_gpu),
    total: () => "",
    show: percent,
    bar: (gpu) => gpu.utilization_gpu,
    level: () => null,
    top: () => 100,
  },
  {
    metric: "memory_used",
    label: t("gpu.memory"),
    value: (gpu) => (isKnown(gpu.memory.used) ? `${gigabytes(gpu.memory.used)} GB` : UNKNOWN),
    total: (gpu) => (isKnown(gpu.memory.total) ? `/ ${gigabytes(gpu.memory.total)}` : ""),
    show: (mb) => `${gigabytes(mb)} GB`,
    bar: (gpu) => gpu.memory.utilization,
    level: () => null,
    top: (gpu) => gpu.memory.total,
  },
  {
    metric: "temperature_gpu",
    label: t("gpu.temperature"),
    value: (gpu) => unit(gpu.temperature.gpu, "°C"),
    total: () => "",
    show: (degrees) => unit(degrees, "°C"),
    bar: (gpu) => gpu.temperature.gpu,
    level: (gpu) => heat(gpu.temperature.gpu),
    top: () => 100,
  },
  {
    metric: "power_usage",
    label: t("gpu.power"),
    value: (gpu) => unit(gpu.power_usage, "W"),
    total: (gpu) => (isKnown(gpu.power_limit) ? `/ ${count(gpu.power_limit)}` : ""),
    show: (watts) => unit(watts, "W"),
    bar: (gpu) => gpu.power_utilization ?? share(gpu.power_usage, gpu.power_limit),
    level: () => null,
    top: (gpu) => gpu.power_limit,
  },
];
