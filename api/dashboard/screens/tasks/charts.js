// The charts of a training.

import { t } from "../../app/i18n.js";
import { recall, remember } from "../../app/settings.js";
import { Chart, join } from "../../ui/chart.js";
import { h } from "../../ui/dom.js";
import { count, isKnown } from "../../ui/format.js";
import { smooth, speed } from "./series.js";

const SMOOTHING = 0.8;
// New points come every second; drawing more often is not visible.
const REDRAW_MS = 500;
const MAX_MARKS = 60;
const TEST_COLOURS = ["--series-2", "--series-3", "--series-4", "--series-5"];

/** @param {import("./series.js").SeriesStore} store */
export function lossPanel(store) {
  let weight = Number(recall("smoothing", String(SMOOTHING)));
  let isLog = recall("log-scale", "") === "1";
  const chart = new Chart({ label: t("loss"), height: 21, xLabel: t("step"), showX: count, series: [] });
  const slider = h("input", {
    type: "range",
    min: 0,
    max: 0.99,
    step: 0.01,
    value: weight,
    "aria-label": t("smoothing"),
  });
  const box = h("input", { type: "checkbox", checked: isLog });
  const summary = h("p.visually-hidden");
  /** @type {API.Progress|null} */
  let progress = null;

  function draw() {
    const raw = store.values("loss");
    const tests = store.evaluations;
    const series = [
      { label: t("loss.per_step"), colour: "--series-1", faint: weight > 0 },
      ...(weight > 0 ? [{ label: t("loss.smooth"), colour: "--series-1" }] : []),
      ...tests.map((name, i) => ({ label: name, colour: TEST_COLOURS[i % TEST_COLOURS.length], dots: true })),
    ];
    chart.reshape(series);
    chart.mark(epochMarks(progress, [...raw.keys()].at(-1)));
    chart.set(join([raw, ...(weight > 0 ? [smooth(raw, weight)] : []), ...tests.map((name) => store.values(name))]));
  }

  slider.addEventListener("input", () => {
    weight = Number(slider.value);
    remember("smoothing", String(weight));
    draw();
  });
  box.addEventListener("change", () => {
    isLog = box.checked;
    remember("log-scale", isLog ? "1" : "");
    chart.isLog = isLog;
    draw();
  });
  chart.isLog = isLog;
  return {
    element: h(
      "section.panel.loss-panel",
      { "aria-label": t("loss") },
      h(
        "header",
        h("h2", t("loss")),
        h("div.tools", h("label.check", t("smoothing"), slider), h("label.check", box, t("log.scale"))),
      ),
      h("div.body", chart.element, summary),
    ),
    draw: lazily(draw),
    /** @param {API.Progress} next */
    setProgress(next) {
      progress = next;
    },
    close: () => chart.close(),
  };
}

/** @param {API.Progress|null} progress @param {number|undefined} last step */
function epochMarks(progress, last) {
  const every = progress?.steps_per_epoch;
  if (!isKnown(every) || !last) return [];
  const epochs = Math.floor(last / every);
  const stride = Math.max(1, Math.ceil(epochs / MAX_MARKS));
  const marks = [];
  for (let epoch = stride; epoch <= epochs; epoch += stride)
    marks.push({ x: epoch * every, label: t("epoch.n", { n: epoch }) });
  return marks;
}

/** Learning rate, gradient norm, speed. @param {import("./series.js").SeriesStore} store */
export function smallCharts(store) {
  /** @param {WordKey} key @param {string} colour @param {() => Map<number, number|null>} pick */
  const make = (key, colour, pick) => {
    const chart = new Chart({
      label: t(key),
      height: 9.6,
      xLabel: t("step"),
      showX: count,
      series: [{ label: t(key), colour }],
    });
    return {
      chart,
      pick,
      element: h("section.panel.small-chart", { "aria-label": t(key) }, h("div.body.top", chart.element)),
    };
  };
  const charts = [
    make("learning_rate", "--series-3", () => store.values("learning_rate")),
    make("grad_norm", "--series-4", () => store.values("grad_norm")),
    make("speed.steps", "--series-5", () => speed(store.sorted("loss"))),
  ];
  return {
    elements: charts.map(({ element }) => element),
    draw: lazily(() => {
      for (const { chart, pick } of charts) chart.set(join([pick()]));
    }),
    close() {
      for (const { chart } of charts) chart.close();
    },
  };
}

/** Draws soon, at most once per pause. @param {() => void} draw */
function lazily(draw) {
  let isWaiting = false;
  let last = -Infinity;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    const wait = Math.max(0, last + REDRAW_MS - performance.now());
    setTimeout(() => {
      isWaiting = false;
      last = performance.now();
      draw();
    }, wait);
  };
}
