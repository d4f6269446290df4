// A picture of what a rule is about: its first metric over the last day, with the levels at which it fires and ends.

import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { Chart } from "../../ui/chart.js";
import { fill, h } from "../../ui/dom.js";
import { clockTime, isKnown, seconds } from "../../ui/format.js";
import { gpuName } from "../../ui/gpus.js";
import { attempt } from "../../ui/toast.js";
import { parseClause } from "./clauses.js";

/** What a clause may be compared with, and is the same at all times. @type {Record<string, (gpu: API.GPUDetails) => number|null|undefined>} */
const CONSTANT = {
  temperature_slowdown: (gpu) => gpu.temperature.slowdown,
  power_limit: (gpu) => gpu.power.limit,
  power_limit_default: (gpu) => gpu.power.default_limit,
};

/** The level that a clause means for a GPU; null where it is not about this metric, or not known. @param {string} text @param {string} metric @param {API.GPUDetails} gpu */
function levelOf(text, metric, gpu) {
  const clause = parseClause(text);
  if (!clause || clause.metric !== metric) return null;
  if (!clause.of) return clause.value;
  const base = CONSTANT[clause.of]?.(gpu);
  return isKnown(base) ? base + clause.value : null;
}

/** @param {readonly API.AlertMetric[]} metrics */
export function rulePicture(metrics) {
  const choice = h("select", { class: "input small-input", "aria-label": t("rule.picture.gpu") });
  const place = h("div");
  const element = h(
    "section",
    { class: "rule-picture", hidden: true },
    h("div", { class: "editor-head" }, h("h3", {}, t("rule.picture")), choice),
    place,
  );
  /** @type {Chart|null} */
  let chart = null;
  /** @type {Map<string, Promise<API.GPUHistory>>} */
  const known = new Map();
  /** @type {Map<string|null, Promise<API.GPUDetails>>} */
  const details = new Map();
  /** @type {Pick<API.RuleWish, "scope"|"when"|"clear">} */
  let rule = {};
  choice.addEventListener("change", () => void attempt(draw));

  async function draw() {
    const metric = parseClause(rule.when?.[0] ?? "")?.metric ?? "";
    const has = metrics.find(({ name, scope }) => name === metric && scope === "gpu");
    const gpu = machine.value?.gpus.find(({ uuid }) => uuid === choice.value);
    element.hidden = rule.scope !== "gpu" || !has?.has_history || !gpu;
    if (element.hidden || !gpu) return;
    const key = `${gpu.uuid} ${metric}`;
    const history = known.get(key) ?? api.gpuHistory(gpu.uuid, { metric, since: "24h" });
    known.set(key, history);
    const told = details.get(gpu.uuid) ?? api.gpu(gpu.uuid);
    details.set(gpu.uuid, told);
    show(await history, metric, await told);
  }

  /** @param {API.GPUHistory} history @param {string} metric @param {API.GPUDetails} gpu */
  function show(history, metric, gpu) {
    const xs = history.data.map(({ timestamp }) => seconds(timestamp) ?? 0);
    const lines = [
      ...(rule.when ?? []).map((text) => ({ text, colour: "--bad", label: t("rule.picture.fires") })),
      ...(rule.clear ?? []).map((text) => ({ text, colour: "--ok", label: t("rule.picture.ends") })),
    ].flatMap((line) => {
      const level = levelOf(line.text, metric, gpu);
      return level === null ? [] : [{ ...line, level }];
    });
    const series = [
      { label: `${metric} (${history.unit})`, colour: "--series-1" },
      ...lines.map(({ label, colour }) => ({ label, colour, isDashed: true })),
    ];
    chart ??= new Chart({
      label: t("rule.picture"),
      height: 11,
      isTime: true,
      series,
      showX: (x) => clockTime(x * 1000),
    });
    chart.reshape(series);
    if (!place.firstChild) fill(place, chart.element);
    chart.set([xs, history.data.map(({ value }) => value), ...lines.map(({ level }) => xs.map(() => level))]);
  }

  const unwatch = machine.watch((snapshot) => {
    if (choice.options.length || !snapshot?.gpus.length) return;
    fill(
      choice,
      snapshot.gpus.map(({ uuid, gpu_id: index }) => h("option", { value: uuid }, gpuName(index))),
    );
    attempt(draw);
  });

  return {
    element,
    /** @param {Pick<API.RuleWish, "scope"|"when"|"clear">} next */
    update(next) {
      rule = next;
      return attempt(draw);
    },
    close() {
      unwatch();
      chart?.close();
    },
  };
}
