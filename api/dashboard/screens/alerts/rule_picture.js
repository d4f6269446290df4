// A chart of a rule: its first metric over the last day, with the levels at which it fires and resolves.

import { api } from "../../app/api.js";
import { labelFor, t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { Chart } from "../../ui/chart.js";
import { fill, h } from "../../ui/dom.js";
import { options } from "../../ui/fields.js";
import { clockTime, isKnown, seconds } from "../../ui/format.js";
import { gpuName } from "../../ui/gpus.js";
import { attempt } from "../../ui/toast.js";

/** Constants with which a clause may compare. @type {Record<string, (gpu: API.GPUDetails) => number|null|undefined>} */
const CONSTANT = {
  temperature_slowdown: (gpu) => gpu.temperature.slowdown,
  power_limit: (gpu) => gpu.power.limit,
  power_limit_default: (gpu) => gpu.power.default_limit,
};

const CLAUSE = /^(\w+) (?:>=|<=|==|!=|>|<) (?:(-?[\d.]+)|(\w+)(?: ([+-]) ([\d.]+))?)$/;

/**
 * The level of a clause for a GPU, or null if it uses another metric or is unknown.
 * @param {string} text @param {string} metric @param {API.GPUDetails} gpu @param {number|null} [threshold] used instead of the number in the clause
 */
function levelOf(text, metric, gpu, threshold) {
  const found = CLAUSE.exec(text);
  if (!found || found[1] !== metric) return null;
  const [, , number, of, sign = "+", offset = "0"] = found;
  const value = threshold ?? Number(of ? `${sign}${offset}` : number);
  if (!of) return value;
  const base = CONSTANT[of]?.(gpu);
  return isKnown(base) ? base + value : null;
}

/** @typedef {Partial<Pick<API.Rule, "scope"|"metric"|"value"|"is_builtin"|"when"|"clear">>} Drawn */

/** The clause that fires. A custom rule compares with a number. @param {Drawn} rule @param {string} metric */
const whenOf = (rule, metric) =>
  (rule.is_builtin && rule.when?.find((text) => text.startsWith(`${metric} `))) || `${metric} >= 0`;

/** @param {readonly API.AlertMetric[]} metrics */
export function rulePicture(metrics) {
  const choice = h("select.input.small-input", { "aria-label": t("rule.picture.gpu") });
  const place = h("div");
  const element = h(
    "section.rule-picture",
    { hidden: true },
    h("div.editor-head", h("h3", t("rule.picture")), choice),
    place,
  );
  /** @type {Chart|null} */
  let chart = null;
  /** @type {Map<string, Promise<API.GPUHistory>>} */
  const known = new Map();
  /** @type {Map<string|null, Promise<API.GPUDetails>>} */
  const details = new Map();
  /** @type {Drawn} */
  let rule = {};
  choice.addEventListener("change", () => void attempt(draw));

  async function draw() {
    const metric = rule.metric ?? "";
    const has = metrics.find(({ name, scope }) => name === metric && scope === "gpu");
    const gpu = machine.value?.gpus.find(({ uuid }) => uuid === choice.value);
    element.hidden = rule.scope !== "gpu" || !has?.has_history || !gpu;
    if (element.hidden || !gpu) return;
    const key = `${gpu.uuid} ${metric}`;
    const history = known.get(key) ?? api.gpuHistory(gpu.uuid, { metric, since: "24h" });
    known.set(key, history);
    const pending = details.get(gpu.uuid) ?? api.gpu(gpu.uuid);
    details.set(gpu.uuid, pending);
    show(await history, metric, await pending);
  }

  /** @param {API.GPUHistory} history @param {string} metric @param {API.GPUDetails} gpu */
  function show(history, metric, gpu) {
    const xs = history.data.map(({ timestamp }) => seconds(timestamp) ?? 0);
    const lines = [
      { text: whenOf(rule, metric), threshold: rule.value, colour: "--bad", label: t("rule.picture.fires") },
      ...(rule.clear ?? []).map((text) => ({ text, threshold: null, colour: "--ok", label: t("rule.picture.ends") })),
    ].flatMap((line) => {
      const level = levelOf(line.text, metric, gpu, line.threshold);
      return level === null ? [] : [{ ...line, level }];
    });
    const series = [
      { label: `${metric} (${labelFor("unit", history.unit)})`, colour: "--series-1" },
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
    fill(choice, options(snapshot.gpus.map(({ uuid, gpu_id: index }) => [uuid ?? "", gpuName(index)])));
    attempt(draw);
  });

  return {
    element,
    /** @param {Drawn} next */
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
