// A small line over time on a canvas: no axes, no words; it is drawn only while it can be seen.

import { h } from "../dom.js";

const GAP_FACTOR = 4;

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.target.sparkline?.setVisible(entry.isIntersecting);
});
const sized = new ResizeObserver((entries) => {
  for (const entry of entries) entry.target.sparkline?.invalidate();
});

// Drawn at once: what is printed does not wait for the next frame.
addEventListener("themechange", () => {
  for (const canvas of document.querySelectorAll(".sparkline")) canvas.sparkline?.draw();
});

const waiting = new Set();
let isScheduled = false;

function draw() {
  isScheduled = false;
  for (const line of waiting) line.draw();
  waiting.clear();
}

export class Sparkline {
  #points = [];
  #isVisible = false;
  #from = 0;
  #to = 1;

  /**
   * @param {string} colour the name of a custom property
   * @param {number|null} top the value at the upper edge; null: the highest
   */
  constructor(colour, top = 100) {
    this.element = h("canvas", { class: "sparkline", "aria-hidden": "true" });
    this.element.sparkline = this;
    this.colour = colour;
    this.top = top;
    seen.observe(this.element);
    sized.observe(this.element);
  }

  /**
   * @param {Array<[number, number|null]>} points by time in seconds
   * @param {number} from the time at the left edge
   * @param {number} to the time at the right edge
   */
  update(points, from, to) {
    this.#points = points;
    this.#from = from;
    this.#to = to;
    this.invalidate();
  }

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
    pen.clearRect(0, 0, width, height);
    const known = this.#points.filter(([, value]) => value !== null);
    if (known.length < 2) return;
    const top = this.top ?? Math.max(...known.map(([, value]) => value)) * 1.1;
    const stroke = 1.4 * ratio;
    const x = (time) => ((time - this.#from) / (this.#to - this.#from || 1)) * width;
    const y = (value) => height - stroke - (Math.min(value, top) / (top || 1)) * (height - 2 * stroke);
    const colour = getComputedStyle(canvas).getPropertyValue(this.colour).trim();
    for (const part of parts(this.#points)) trace(pen, part, x, y, height, stroke, colour);
  }
}

/** The line breaks where nothing was read: at a null, and where far more time lies between two points than usual. */
function parts(points) {
  const steps = points
    .slice(1)
    .map(([time], i) => time - points[i][0])
    .sort((a, b) => a - b);
  const longest = (steps[steps.length >> 1] || 1) * GAP_FACTOR;
  const found = [];
  let part = [];
  let before = null;
  for (const point of points) {
    if (point[1] === null || (before !== null && point[0] - before > longest)) {
      if (part.length) found.push(part);
      part = [];
    }
    if (point[1] !== null) part.push(point);
    before = point[0];
  }
  if (part.length) found.push(part);
  return found;
}

function trace(pen, part, x, y, height, stroke, colour) {
  const line = new Path2D();
  // The first point of a path is where it begins, whatever is asked for.
  for (const [time, value] of part) line.lineTo(x(time), y(value));
  const area = new Path2D(line);
  area.lineTo(x(part.at(-1)[0]), height);
  area.lineTo(x(part[0][0]), height);
  pen.fillStyle = colour;
  pen.globalAlpha = 0.13;
  pen.fill(area);
  pen.globalAlpha = 1;
  pen.strokeStyle = colour;
  pen.lineWidth = stroke;
  pen.lineJoin = "round";
  pen.stroke(line);
}
