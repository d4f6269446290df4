// A small line chart on a canvas, without axes; drawn only while visible.

import { h } from "./dom.js";

const GAP_FACTOR = 4;

/** A known value at a time. @typedef {[time: number, value: number]} Known */
/** By time in seconds; null: no reading. @typedef {[time: number, value: number|null]} TimePoint */

/** @param {Element} element */
const lineOf = (element) => (element instanceof HTMLCanvasElement ? element.sparkline : undefined);

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) lineOf(entry.target)?.setVisible(entry.isIntersecting);
});
const sized = new ResizeObserver((entries) => {
  for (const entry of entries) lineOf(entry.target)?.invalidate();
});

// Draw immediately: printing does not wait for the next frame.
addEventListener("themechange", () => {
  for (const canvas of document.querySelectorAll(".sparkline")) lineOf(canvas)?.draw();
});

/** @type {Set<Sparkline>} */
const waiting = new Set();
let isScheduled = false;

function draw() {
  isScheduled = false;
  for (const line of waiting) line.draw();
  waiting.clear();
}

export class Sparkline {
  /** @type {TimePoint[]} */
  #points = [];
  #isVisible = false;
  #from = 0;
  #to = 1;

  /**
   * @param {string} colour colour name of a CSS custom property
   * @param {number|null} top top value at the upper edge; null: the maximum
   */
  constructor(colour, top = 100) {
    this.element = h("canvas.sparkline", { "aria-hidden": "true" });
    this.element.sparkline = this;
    this.colour = colour;
    this.top = top;
    seen.observe(this.element);
    sized.observe(this.element);
  }

  /**
   * @param {TimePoint[]} points
   * @param {number} from from time at the left edge
   * @param {number} to to time at the right edge
   */
  update(points, from, to) {
    this.#points = points;
    this.#from = from;
    this.#to = to;
    this.invalidate();
  }

  /** @param {boolean} isVisible */
  setVisible(isVisible) {
    this.#isVisible = isVisible;
    this.invalidate();
  }

  invalidate() {
    if (!this.#isVisible) return;
    waiting.add(this);
    if (!isScheduled) {
      isScheduled = true;
      requestAnimationFrame(draw);
    }
  }

  close() {
    seen.unobserve(this.element);
    sized.unobserve(this.element);
  }

  draw() {
    const canvas = this.element;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    if (!pen) return;
    pen.clearRect(0, 0, width, height);
    const known = this.#points.filter(isRead);
    if (known.length < 2) return;
    const top = this.top ?? Math.max(...known.map(([, value]) => value)) * 1.1;
    const stroke = 1.4 * ratio;
    const x = (/** @type {number} */ time) => ((time - this.#from) / (this.#to - this.#from || 1)) * width;
    const y = (/** @type {number} */ value) =>
      height - stroke - (Math.min(value, top) / (top || 1)) * (height - 2 * stroke);
    const colour = getComputedStyle(canvas).getPropertyValue(this.colour).trim();
    const look = { height, stroke, colour };
    for (const part of parts(this.#points))
      trace(
        pen,
        part.map(([time, value]) => [x(time), y(value)]),
        look,
      );
  }
}

/** @param {TimePoint} point @returns {point is Known} */
const isRead = (point) => point[1] !== null;

/**
 * Splits the line at gaps: at a null, and where points are much farther apart than usual.
 * @param {TimePoint[]} points
 */
function parts(points) {
  const steps = points
    .slice(1)
    .map(([time], i) => time - points[i][0])
    .sort((a, b) => a - b);
  const longest = (steps[steps.length >> 1] || 1) * GAP_FACTOR;
  const found = [];
  /** @type {Known[]} */
  let part = [];
  let before = -Infinity;
  for (const point of points) {
    if (!isRead(point) || point[0] - before > longest) {
      if (part.length) found.push(part);
      part = [];
    }
    if (isRead(point)) part.push(point);
    before = point[0];
  }
  if (part.length) found.push(part);
  return found;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {number[][]} part points in pixels, at least one
 * @param {{height: number, stroke: number, colour: string}} look
 */
function trace(pen, part, { height, stroke, colour }) {
  const line = new Path2D();
  // lineTo on an empty path moves to the first point.
  for (const [x, y] of part) line.lineTo(x, y);
  const area = new Path2D(line);
  area.lineTo(part[part.length - 1][0], height);
  area.lineTo(part[0][0], height);
  pen.fillStyle = colour;
  pen.globalAlpha = 0.13;
  pen.fill(area);
  pen.globalAlpha = 1;
  pen.strokeStyle = colour;
  pen.lineWidth = stroke;
  pen.lineJoin = "round";
  pen.stroke(line);
}
