// GPU readings during a training.

import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { now } from "../../app/machine.js";
import { Chart, join } from "../../ui/chart.js";
import { h } from "../../ui/dom.js";
import { clockTime, isKnown, seconds } from "../../ui/format.js";
import { gpuName } from "../../ui/gpus.js";

const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"];
// More lines cannot be distinguished: then show mean, minimum and maximum.
const MAX_LINES = 2 * COLOURS.length;
const POINTS = 300;
const MAX_AT_ONCE = 3;
// One request per GPU: the more GPUs, the less often.
const PAUSE_MS_PER_GPU = 4_000;

export function gpuUseChart() {
  const chart = new Chart({
    label: t("gpu.use"),
    height: 9.6,
    isTime: true,
    showX: (x) => clockTime(x * 1000),
    series: [],
  });
  chart.top = 100;
  let loadedAt = -Infinity;

  return {
    element: h("section.panel.small-chart", { "aria-label": t("gpu.use") }, h("div.body.top", chart.element)),
    /** @param {API.Task} task */
    async load(task) {
      const uuids = task.gpu_uuids;
      const start = seconds(task.started_at);
      if (start === null || !uuids.length) return chart.set([[]]);
      if (performance.now() - loadedAt < PAUSE_MS_PER_GPU * uuids.length) return;
      loadedAt = performance.now();
      const found = await histories(uuids, start, seconds(task.finished_at) ?? now());
      const isMany = found.length > MAX_LINES;
      chart.reshape(isMany ? summaryLines(found.length) : task.gpu_ids.map(line));
      chart.set(isMany ? summarise(found) : join(found));
    },
    close: () => chart.close(),
  };
}

/** @param {number|null} id @param {number} i */
const line = (id, i) => ({
  label: `${gpuName(id)} %`,
  colour: COLOURS[i % COLOURS.length],
  isDashed: i >= COLOURS.length,
});

/** @param {number} n GPUs */
const summaryLines = (n) => [
  { label: `${t("sum.mean", { n })} %`, colour: COLOURS[0] },
  { label: t("gpu.use.least"), colour: COLOURS[1] },
  { label: t("gpu.use.most"), colour: COLOURS[2] },
];

/**
 * @param {string[]} uuids @param {number} from @param {number} to
 * @returns {Promise<Map<number, number|null>[]>} of each GPU, by time; requests run in small groups
 */
async function histories(uuids, from, to) {
  const range = {
    metric: "utilization_gpu",
    since: new Date(from * 1000).toISOString(),
    until: new Date(to * 1000).toISOString(),
    step: Math.max(1, Math.round((to - from) / POINTS)),
  };
  const found = [];
  for (let i = 0; i < uuids.length; i += MAX_AT_ONCE) {
    const some = await Promise.all(uuids.slice(i, i + MAX_AT_ONCE).map((uuid) => api.gpuHistory(uuid, range)));
    for (const { data } of some) found.push(new Map(data.map((point) => [seconds(point.timestamp) ?? 0, point.value])));
  }
  return found;
}

/**
 * Mean, minimum and maximum of the known values by time.
 * @param {Map<number, number|null>[]} found
 * @returns {import("../../ui/chart.js").ChartData}
 */
export function summarise(found) {
  const [xs, ...all] = join(found);
  /** @type {Record<"mean"|"least"|"most", (number|null)[]>} */
  const { mean, least, most } = { mean: [], least: [], most: [] };
  xs.forEach((_, i) => {
    const values = all.map((one) => one[i]).filter(isKnown);
    mean.push(values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
    least.push(values.length ? Math.min(...values) : null);
    most.push(values.length ? Math.max(...values) : null);
  });
  return [xs, mean, least, most];
}
