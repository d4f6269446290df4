// The curves of a comparison: one large chart and smaller ones, with one legend, cursor and zoom.

import { t } from "../../app/i18n.js";
import { remember } from "../../app/settings.js";
import { Chart, join } from "../../ui/chart.js";
import { fill, h, setText } from "../../ui/dom.js";
import { options } from "../../ui/fields.js";
import { count, duration, figure } from "../../ui/format.js";
import { swatch } from "../../ui/icons.js";
import { segments } from "../../ui/segments.js";
import { smooth } from "../tasks/series.js";
import { AXES, colourOf, nameOf } from "./state.js";

/** @typedef {import("./state.js").Wanted} Wanted */
/** @typedef {API.Comparison["series"][number]} Series */

const EVALUATIONS = "eval_loss";
const OTHERS = [EVALUATIONS, "learning_rate"];
/** Metrics that are averages already, so that they are not smoothed. */
const SPARSE = /\/loss|epoch_loss$/;
/** Longer series do not mark each value. */
const MOST_DOTS = 30;

/** The metrics of all charts. @param {Wanted} wanted */
export const metricsOf = ({ metric }) => [...new Set([metric, "loss", ...OTHERS])];

/** @type {Record<string, WordKey>} */
const LABELS = {
  loss: "loss",
  eval_loss: "compare.metric.eval_loss",
  epoch_loss: "compare.metric.epoch_loss",
  learning_rate: "learning_rate",
  grad_norm: "grad_norm",
};

/** @param {string} metric */
const metricLabel = (metric) => (LABELS[metric] ? t(LABELS[metric]) : metric);

/** @param {Wanted["axis"]} axis @param {number} x */
function showX(axis, x) {
  if (axis === "time") return duration(x);
  return axis === "epoch" ? figure(x) : count(Math.round(x));
}

/**
 * The unit of a time axis, so that its ticks are round numbers.
 * @param {readonly Series[]} series @returns {{label: WordKey, seconds: number}}
 */
function timeUnit(series) {
  const longest = Math.max(0, ...series.map(({ x }) => x.at(-1) ?? 0));
  if (longest >= 2 * 3600) return { label: "compare.axis.hours", seconds: 3600 };
  return longest >= 120
    ? { label: "compare.axis.minutes", seconds: 60 }
    : { label: "compare.axis.seconds", seconds: 1 };
}

/**
 * @param {Wanted} wanted @param {(change: Partial<Wanted>) => void} apply stores a change; those of metric and axis are
 *   followed by another answer
 */
export function curvesView(wanted, apply) {
  /** @type {API.Comparison|null} */
  let shown = null;
  /** The charts by metric. @type {Map<string, {chart: Chart, element: HTMLElement, title: HTMLElement}>} */
  const charts = new Map();
  let drawnFor = "";
  /** The last position of the cursor. @type {number|null} */
  let pointed = null;
  let scale = 1;

  const legend = h("ul.curve-legend", { "aria-label": t("compare.legend") });
  /** @type {{id: string, button: HTMLButtonElement, value: HTMLElement}[]} */
  let entries = [];
  const where = h("p.faint.tiny.curve-where");
  const [large, small] = [h("div"), h("div.small-charts")];
  const missing = h("p.soft.small", { hidden: true });
  /** @type {HTMLSelectElement} */
  const metric = h("select.input.metric-select", {
    "aria-label": t("compare.metric"),
    on: { change: () => apply({ metric: metric.value }) },
  });
  const axis = segments(
    t("compare.axis"),
    AXES.map((value) => ({ value, label: t(`compare.axis.${value}`) })),
    wanted.axis,
    (value) => apply({ axis: value }),
  );
  const slider = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: wanted.smoothing });
  slider.addEventListener("input", () => {
    remember("smoothing", slider.value);
    apply({ smoothing: Number(slider.value) });
    draw();
  });
  const log = h("input", { type: "checkbox", checked: wanted.isLog });
  log.addEventListener("change", () => {
    apply({ isLog: log.checked });
    for (const { chart } of charts.values()) chart.isLog = log.checked;
    draw();
  });
  const element = h(
    "section.panel.curves",
    { "aria-label": t("compare.curves") },
    h(
      "header",
      h("h2", t("compare.curves")),
      h(
        "div.tools",
        metric,
        axis.element,
        h("label.check", t("smoothing"), slider),
        h("label.check", log, t("log.scale")),
      ),
    ),
    h("div.body.stack", legend, where, missing, large, small),
  );
  // A double click resets the zoom of all charts, which they share.
  element.addEventListener("dblclick", () => {
    for (const { chart } of charts.values()) chart.resetZoom();
  });

  /** @param {string} id */
  function toggle(id) {
    const hidden = new Set(wanted.hidden);
    if (!hidden.delete(id)) hidden.add(id);
    apply({ hidden });
    draw();
  }

  /** @param {API.Comparison} found */
  function showLegend(found) {
    const key = found.trainings.map((training) => `${training.task_id} ${nameOf(training)}`).join("\n");
    if (key !== legend.dataset.key) {
      legend.dataset.key = key;
      entries = found.trainings.map((training, place) => {
        const value = h("b.num");
        const button = h(
          "button.curve-name",
          { type: "button", on: { click: () => toggle(training.task_id) } },
          swatch(`var(${colourOf(place)})`),
          h("span.clip.foreign", nameOf(training)),
          value,
        );
        return { id: training.task_id, button, value };
      });
      fill(
        legend,
        entries.map(({ button }) => h("li", button)),
      );
    }
    for (const { id, button } of entries) {
      const isHidden = wanted.hidden.has(id);
      button.setAttribute("aria-pressed", String(!isHidden));
      button.title = t(isHidden ? "compare.show" : "compare.hide");
    }
    showValues();
  }

  /** Shows the values of the large chart at the cursor, or the last ones. */
  function showValues() {
    const at = pointed === null ? null : pointed * scale;
    for (const { id, value } of entries) {
      const own = shown?.series.find(({ task_id, metric: name }) => task_id === id && isOf(name, wanted.metric));
      setText(value, own ? figure(valueAt(own, at)) : "");
    }
    setText(where, at === null ? t("compare.latest") : `${t(`compare.axis.${wanted.axis}`)} ${showX(wanted.axis, at)}`);
  }

  /** @param {string} name @returns {{chart: Chart, element: HTMLElement, title: HTMLElement}} */
  function make(name) {
    const isLarge = name === wanted.metric;
    const unit = timeUnit(shown?.series ?? []);
    const label = wanted.axis === "time" ? t(unit.label) : t(`compare.axis.${wanted.axis}`);
    const chart = new Chart({
      label: metricLabel(name),
      height: isLarge ? 24 : 10,
      xLabel: label,
      showX: (x) => showX(wanted.axis, x * scale),
      series: [],
      hasLegend: false,
      group: "compare",
      ...(["time", "epoch"].includes(wanted.axis) && { leastSpan: 0.001 }),
      // The other charts move the cursor of the large one.
      ...(isLarge && {
        pointed: (x) => {
          pointed = x;
          showValues();
        },
      }),
    });
    chart.isLog = wanted.isLog;
    const title = h("h3");
    const part = h("section.curve-chart", { "aria-label": metricLabel(name) }, title, chart.element);
    part.append(h("p.faint.tiny.axis-name", label));
    return { chart, element: part, title };
  }

  function draw() {
    const found = shown;
    if (!found) return;
    showLegend(found);
    for (const [name, { chart, title }] of charts) {
      setText(title, metricLabel(name));
      /** @type {import("../../ui/chart.js").ChartSeries[]} */
      const series = [];
      /** @type {Map<number, number|null>[]} */
      const points = [];
      for (const [place, training] of found.trainings.entries()) {
        const own = found.series.filter((each) => each.task_id === training.task_id && isOf(each.metric, name));
        for (const [nth, each] of own.entries()) {
          const isSparse = SPARSE.test(each.metric);
          const raw = new Map(each.x.map((x, i) => [x / scale, each.values[i]]));
          const isSmooth = !isSparse && wanted.smoothing > 0 && name !== "learning_rate";
          const shared = {
            label: `${nameOf(training)} ${each.metric}`,
            colour: colourOf(place),
            isHidden: wanted.hidden.has(training.task_id),
            isDashed: nth > 0,
            dots: isSparse && each.x.length <= MOST_DOTS,
          };
          series.push({ ...shared, faint: isSmooth });
          points.push(raw);
          if (!isSmooth) continue;
          series.push({ ...shared, label: `${shared.label} ~` });
          points.push(smooth(raw, wanted.smoothing));
        }
      }
      chart.reshape(series);
      chart.set(points.length ? join(points) : [[]]);
    }
  }

  return {
    element,
    /** @param {API.Comparison} found */
    update(found) {
      shown = found;
      scale = found.axis === "time" ? timeUnit(found.series).seconds : 1;
      const names = [...new Set(["loss", ...found.available, ...evaluationsOf(found)])].sort();
      fill(
        metric,
        options(
          [...new Set([...names, wanted.metric])].map((name) => /** @type {const} */ ([name, metricLabel(name)])),
          wanted.metric,
        ),
      );
      axis.select(found.axis);
      slider.value = String(wanted.smoothing);
      log.checked = wanted.isLog;
      const unplaced = found.trainings.filter(({ task_id: id }) =>
        found.series.some((each) => each.task_id === id && !each.is_placed),
      );
      missing.hidden = unplaced.length === 0;
      setText(missing, t("compare.unplaced", { names: unplaced.map(nameOf).join(", ") }));
      const wide = ["loss", ...OTHERS].filter(
        (name) => name !== wanted.metric && found.series.some((each) => isOf(each.metric, name)),
      );
      const key = [wanted.metric, ...wide, found.axis, scale].join();
      if (key !== drawnFor) {
        drawnFor = key;
        close();
        for (const name of [wanted.metric, ...wide]) charts.set(name, make(name));
        fill(large, charts.get(wanted.metric)?.element);
        fill(
          small,
          wide.map((name) => charts.get(name)?.element),
        );
      }
      draw();
    },
    close,
  };

  function close() {
    for (const { chart } of charts.values()) chart.close();
    charts.clear();
    pointed = null;
  }
}

/** Whether a series belongs to a chart. @param {string} name @param {string} metric */
const isOf = (name, metric) => name === metric || (metric === EVALUATIONS && name.endsWith("/loss"));

/** The entry for all evaluations, if there are any. @param {API.Comparison} found */
const evaluationsOf = ({ available }) => (available.some((name) => name.endsWith("/loss")) ? [EVALUATIONS] : []);

/**
 * The value at a position, or the last one before it; null beyond the ends of the curve.
 * @param {Series} series @param {number|null} at null: the last one
 */
function valueAt({ x, values }, at) {
  if (at === null) return values.findLast((value) => value !== null) ?? null;
  if (!x.length || at < x[0] || at > x[x.length - 1]) return null;
  let [from, to] = [0, x.length - 1];
  while (from < to) {
    const middle = Math.ceil((from + to) / 2);
    if (x[middle] <= at + 1e-9) from = middle;
    else to = middle - 1;
  }
  return values[from];
}
