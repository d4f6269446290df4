// A chart by uPlot; a table if uPlot was not installed.

import { t } from "../app/i18n.js";
import { fill, h } from "./dom.js";
import { clockTime, count, figure, isKnown, UNKNOWN } from "./format.js";
import { swatch } from "./icons.js";

const ROWS = 40;
// Minimum length of the axis, in seconds and in steps.
const LEAST_SPAN = { time: 20, step: 4 };

/** @param {string} name */
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/** @param {number|null|undefined} value @param {(value: number) => string} show */
const valueText = (value, show) => (isKnown(value) ? show(value) : UNKNOWN);
const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

/**
 * x first, then each series: null is a gap, undefined is no value here.
 * @typedef {[number[], ...Values[]]} ChartData
 */
/** @typedef {(number|null|undefined)[]} Values */
/** @typedef {import("uplot")} Plot */

/**
 * @typedef {object} ChartSeries
 * @property {string} label
 * @property {string} colour name of a CSS custom property
 * @property {boolean} [faint] drawn thin, behind the others
 * @property {boolean} [dots] few values: each is marked, and the line connects them across gaps
 * @property {boolean} [isDashed]
 * @property {boolean} [isHidden]
 * @property {(value: number) => string} [show]
 */

export class Chart {
  /** @type {Plot|null} */
  #plot = null;
  /** @type {ChartData} */
  #data = [[]];
  #isZoomed = false;
  #isLog = false;
  /** @type {number|null} */
  #top = null;
  /** @type {{x: number, label: string}[]} */
  #marks = [];

  /**
   * @param {object} how
   * @param {string} how.label
   * @param {number} how.height in rem
   * @param {ChartSeries[]} how.series
   * @param {(x: number) => string} [how.showX]
   * @param {(y: number) => string} [how.showY]
   * @param {boolean} [how.isTime] x is in Unix seconds
   * @param {boolean} [how.hasLegend]
   * @param {string} [how.xLabel]
   * @param {string} [how.group] charts of one group share the cursor and the zoom
   * @param {(x: number|null) => void} [how.pointed] called with the position of the cursor
   * @param {number} [how.leastSpan] minimum length of the x axis
   */
  constructor(how) {
    this.how = how;
    this.place = h("div.chart", { role: "img", "aria-label": how.label });
    this.place.style.minHeight = `${how.height}rem`;
    this.legend = h("div.legend");
    this.element = h("div.chart-box", how.hasLegend !== false && this.legend, this.place);
    this.sized = new ResizeObserver(() => this.#resize());
    this.sized.observe(this.place);
    this.recolour = () => this.#rebuild();
    addEventListener("themechange", this.recolour);
    this.#showLegend(null);
  }

  /** Replaces the series and their values. @param {ChartSeries[]} series */
  reshape(series) {
    const same =
      JSON.stringify(series.map(({ label }) => label)) === JSON.stringify(this.how.series.map(({ label }) => label));
    this.how.series = series;
    if (!same) return this.#destroy();
    for (const [i, { isHidden }] of series.entries()) {
      const show = !isHidden;
      if (this.#plot && this.#plot.series[i + 1].show !== show) this.#plot.setSeries(i + 1, { show });
    }
  }

  /** @param {ChartData} data */
  set(data) {
    this.#data = this.#isLog ? positive(data) : data;
    if (data[0].length === 0) {
      this.#destroy();
      fill(this.place, h("div.chart-empty", t("chart.empty")));
    } else if (!canPlot) fill(this.place, this.#table());
    else if (this.#plot) {
      this.#plot.setData(this.#data, !this.#isZoomed);
      if (this.#isZoomed) this.#plot.redraw();
    } else this.#build();
    this.#showLegend(null);
  }

  /** Sets labelled vertical lines. @param {{x: number, label: string}[]} marks */
  mark(marks) {
    this.#marks = marks;
  }

  /**
   * The upper limit of the axis that starts at 0; null: automatic. Applied with the next values.
   * @param {number|null} value
   */
  set top(value) {
    this.#top = value;
  }

  /** Shows the whole x axis again. */
  resetZoom() {
    this.#isZoomed = false;
    this.set(this.#data);
  }

  /** @param {boolean} isLog */
  set isLog(isLog) {
    this.#isLog = isLog;
    this.#rebuild();
  }

  close() {
    this.sized.disconnect();
    removeEventListener("themechange", this.recolour);
    this.#destroy();
  }

  #rebuild() {
    this.#destroy();
    this.set(this.#data);
  }

  #destroy() {
    this.#plot?.destroy();
    this.#plot = null;
    this.#isZoomed = false;
  }

  #resize() {
    const width = this.place.clientWidth;
    if (!width) return;
    if (!this.#plot && canPlot) this.#build();
    else if (this.#plot && width !== this.#plot.width) this.#plot.setSize({ width, height: this.how.height * rem() });
  }

  async #build() {
    // While it is hidden, nothing is loaded: being shown changes its size.
    if (!this.place.clientWidth) return;
    // On failure the next values try again.
    const uPlot = await loadPlot().catch(() => null);
    const width = this.place.clientWidth;
    // In the meantime another call may have drawn it, its values may be empty, or it may be out of the document.
    if (!uPlot || this.#plot || !this.#data[0].length || !width) return;
    this.place.textContent = "";
    const plot = new uPlot(this.#options(width), this.#data, this.place);
    // A double click resets the zoom.
    plot.over.addEventListener("dblclick", () => {
      this.#isZoomed = false;
    });
    this.#plot = plot;
  }

  /** @param {number} width @returns {import("uplot").Options} */
  #options(width) {
    const font = `${Math.round(0.78 * rem())}px ${css("--sans")}`;
    const axis = {
      stroke: css("--faint"),
      font,
      grid: { stroke: css("--line"), width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    return {
      width,
      height: this.how.height * rem(),
      // In a group, the last tick has room for its number.
      padding: [10, this.how.group ? 26 : 10, 0, 0],
      legend: { show: false },
      cursor: {
        drag: { x: true, y: false },
        points: { size: 7 },
        y: false,
        ...(this.how.group && { sync: { key: this.how.group, setSeries: false } }),
      },
      scales: {
        x: { time: Boolean(this.how.isTime), range: (_, from, to) => spanX(this.#data[0], from, to, this.how) },
        y: this.#isLog ? { distr: 3 } : this.#top ? { range: () => [0, this.#top] } : {},
      },
      axes: [
        { ...axis, size: 2 * rem(), space: 5 * rem(), values: (_, ticks) => ticks.map((tick) => this.#showX(tick)) },
        {
          ...axis,
          size: 4.1 * rem(),
          values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : (this.how.showY ?? figure)(tick))),
        },
      ],
      series: [{}, ...this.how.series.map((each) => this.#series(each))],
      hooks: {
        setCursor: [(plot) => this.#point(plot.cursor.idx)],
        setSelect: [
          (plot) => {
            this.#isZoomed = plot.select.width > 0;
          },
        ],
        drawAxes: [(plot) => this.#drawMarks(plot)],
      },
    };
  }

  /** @param {number} tick */
  #showX(tick) {
    if (this.how.isTime) return clockTime(tick * 1000);
    if (this.how.leastSpan) return figure(tick);
    return Number.isInteger(tick) ? count(tick) : "";
  }

  /** @param {number|null|undefined} index */
  #point(index) {
    this.#showLegend(index);
    this.how.pointed?.(isKnown(index) ? this.#data[0][index] : null);
  }

  /** @param {ChartSeries} series @returns {import("uplot").Series} */
  #series({ colour, faint, dots, isDashed, isHidden }) {
    const stroke = css(colour);
    return {
      // Colours of series have six digits: two more make them transparent.
      stroke: faint ? `${stroke}60` : stroke,
      width: faint ? 1 : 2,
      show: !isHidden,
      ...(isDashed && { dash: [6, 4] }),
      spanGaps: Boolean(dots),
      // By itself uPlot marks values only where they are far apart, such as a single one.
      points: { ...(dots && { show: true }), size: 6, fill: stroke },
    };
  }

  /** @param {Plot} plot */
  #drawMarks(plot) {
    const { ctx: pen, bbox } = plot;
    const { min: from = -Infinity, max: to = Infinity } = plot.scales.x;
    const ratio = devicePixelRatio || 1;
    pen.save();
    pen.strokeStyle = css("--line-strong");
    pen.fillStyle = css("--faint");
    pen.font = `${Math.round(0.72 * rem() * ratio)}px ${css("--sans")}`;
    pen.textAlign = "left";
    pen.setLineDash([3 * ratio, 4 * ratio]);
    let free = -Infinity;
    for (const { x, label } of this.#marks) {
      if (x <= from || x >= to) continue;
      const left = Math.round(plot.valToPos(x, "x", true));
      pen.beginPath();
      pen.moveTo(left, bbox.top);
      pen.lineTo(left, bbox.top + bbox.height);
      pen.stroke();
      const size = pen.measureText(label).width;
      if (left > free && left + size < bbox.left + bbox.width) {
        pen.fillText(label, left + 3 * ratio, bbox.top + 9 * ratio);
        free = left + size + 8 * ratio;
      }
    }
    pen.restore();
  }

  /** Shows the values at the pointer, or the last ones. @param {number|null|undefined} index */
  #showLegend(index) {
    if (this.how.hasLegend === false) return;
    const at = isKnown(index) ? index : null;
    const x = at === null ? null : this.#data[0][at];
    fill(
      this.legend,
      this.how.series.map(({ label, colour, faint, isDashed, show = figure }, i) => {
        const values = this.#data[i + 1] ?? [];
        const value = at === null ? values.findLast(isKnown) : values[at];
        const sign = swatch(`var(${colour})`, isDashed);
        if (faint) sign.style.opacity = "0.45";
        return h("span", sign, label, h("b", valueText(value, show)));
      }),
      x !== null && h("span", this.how.xLabel ?? "", h("b", (this.how.showX ?? String)(x))),
    );
  }

  #table() {
    const [xs] = this.#data;
    const every = Math.max(1, Math.ceil(xs.length / ROWS));
    const rows = xs.map((x, i) => [x, i]).filter(([, i]) => i % every === 0 || i === xs.length - 1);
    return h(
      "div.table-scroll",
      { tabindex: 0 },
      h(
        "table.table",
        h(
          "thead",
          h(
            "tr",
            h("th.num", this.how.xLabel ?? t("time")),
            this.how.series.map(({ label }) => h("th.num", label)),
          ),
        ),
        h(
          "tbody",
          rows.reverse().map(([x, i]) =>
            h(
              "tr",
              h("td.num", (this.how.showX ?? String)(x)),
              this.how.series.map(({ show = figure }, s) => h("td.num", valueText(this.#data[s + 1][i], show))),
            ),
          ),
        ),
      ),
    );
  }
}

/**
 * The limits of the x axis. A very short axis is extended; for a single value uPlot would use a day, or
 * twice its step.
 * @param {number[]} xs @param {number} from @param {number} to @param {{isTime?: boolean, leastSpan?: number}} axis
 * @returns {[number, number]}
 */
export function spanX(xs, from, to, { isTime, leastSpan }) {
  const least = leastSpan ?? (isTime ? LEAST_SPAN.time : LEAST_SPAN.step);
  const [first, last] = xs.length === 1 ? [xs[0], xs[0]] : [from, to];
  if (!isKnown(first) || last - first >= least) return [from, to];
  const middle = (first + last) / 2;
  return [middle - least / 2, middle + least / 2];
}

/** A logarithmic scale has no values at or below 0. @param {ChartData} data @returns {ChartData} */
const positive = ([xs, ...series]) => [
  xs,
  ...series.map((values) => values.map((value) => (isKnown(value) && value > 0 ? value : null))),
];

/**
 * Merges series with different x values onto one x axis.
 * @param {Array<Map<number, number|null>>} series
 * @returns {ChartData}
 */
export function join(series) {
  const xs = [...new Set(series.flatMap((points) => [...points.keys()]))].sort((a, b) => a - b);
  // undefined is "no value here" to uPlot, null is a gap.
  return [xs, ...series.map((points) => xs.map((x) => (points.has(x) ? points.get(x) : undefined)))];
}

const style = /** @type {HTMLMetaElement|null} */ (document.querySelector("meta[name=charts]"))?.content;

/** Whether charts are available; otherwise tables are shown. */
const canPlot = Boolean(style);

/** @type {Promise<typeof import("uplot")>|null} */
let loading = null;

/** uPlot's constructor. After a failure the next call retries. */
function loadPlot() {
  loading ??= Promise.all([import("../vendor/uPlot.js"), loadStyle()]).then(
    ([{ default: uPlot }]) => uPlot,
    (error) => {
      loading = null;
      throw error;
    },
  );
  return loading;
}

function loadStyle() {
  return new Promise((resolve, reject) => {
    const link = h("link", { rel: "stylesheet", href: style, on: { load: resolve, error: reject } });
    link.addEventListener("error", () => link.remove());
    document.head.append(link);
  });
}
