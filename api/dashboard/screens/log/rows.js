// A list of any length that renders only visible rows.

import { fill, h } from "../../ui/dom.js";
import { clockTime, count, utcTime } from "../../ui/format.js";
import { Layout } from "./layout.js";

const BEYOND = 12;
// Number of characters used to measure the width of one.
const PROBE = 80;
const MIN_COLUMNS = 10;
// Pixels at the end of a line, for a scroll bar.
const END_SPACE = 24;

/**
 * The columns before the text of a line.
 * @typedef {{offset: number, timestamp: string|null, line_number: number|null, level: API.LogLevel}} Head
 */

export class Rows {
  /** Height of a line in pixels; measured at first and when the window changes. */
  #height = 0;
  /** Width of a character, and of the columns before the text, in pixels. */
  #character = 8;
  #margin = 0;
  #drawn = "";
  #top = 0;
  #stays = true;
  #wraps = false;
  #layout = new Layout([], null);

  /** @param {(options: {isUp: boolean, isAtEnd: boolean, isAtStart: boolean}) => void} scrolled called when the user scrolls */
  constructor(scrolled) {
    this.inner = h("div.log-rows");
    this.spacer = h("div.log-spacer", this.inner);
    this.element = h("div.log-scroll", { tabindex: 0, role: "log", "aria-live": "off" }, this.spacer);
    /** @type {API.LogLine[]} */
    this.lines = [];
    /** @type {(line: API.LogLine) => [from: number, to: number]|null} */
    this.isMarked = () => null;
    /** The offset of the current match. @type {number|null} */
    this.current = null;
    this.scrolled = scrolled;
    this.element.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.sized = new ResizeObserver(() => this.#onResize());
    this.sized.observe(this.element);
  }

  /**
   * Shows these lines.
   * @param {API.LogLine[]} lines
   * @param {boolean} stays scroll to the end
   * @param {number} shift lines added above; negative for removed ones
   */
  show(lines, stays, shift = 0) {
    const before = this.#layout;
    this.lines = lines;
    this.#stays = stays;
    // While another part of the screen is shown, it has no size; it is drawn when it gets one.
    if (!this.element.clientHeight) return;
    this.#measure();
    this.#layout = new Layout(lines, this.#wraps ? this.#columns() : null);
    this.spacer.style.height = `${this.#layout.rows * this.#height}px`;
    const rows = shift < 0 ? -before.above(-shift) : this.#layout.above(shift);
    if (stays) this.#scrollTo(this.element.scrollHeight);
    else this.#scrollTo(this.element.scrollTop + rows * this.#height);
    this.#drawn = "";
    this.#draw();
  }

  /** Turns wrapping on or off; keeps the top line in place. @param {boolean} isOn */
  wrap(isOn) {
    const top = this.#layout.lineAt(Math.floor(this.element.scrollTop / (this.#height || 1)));
    this.#wraps = isOn;
    this.element.classList.toggle("wraps", isOn);
    if (!this.lines.length) return;
    this.show(this.lines, this.#stays);
    if (!this.#stays) this.#scrollTo(this.#layout.above(top) * this.#height);
  }

  get isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < this.#height * 1.5;
  }

  /** Scrolls a line to the middle. @param {number} index */
  reveal(index) {
    this.current = this.lines[index]?.offset ?? null;
    this.#scrollTo(Math.max(0, this.#layout.above(index) * this.#height - this.element.clientHeight / 2));
    this.redraw();
  }

  redraw() {
    this.#drawn = "";
    this.#draw();
  }

  close() {
    this.sized.disconnect();
  }

  #measure() {
    if (this.#height) return;
    // Measure the text itself: a wrapped element has the full width.
    const text = h("span", "x".repeat(PROBE));
    const place = h("span.log-text", text);
    place.style.whiteSpace = "pre";
    const probe = this.#element({ offset: -1, timestamp: null, line_number: null, level: "info" }, place);
    this.inner.append(probe);
    this.#height = probe.getBoundingClientRect().height || 18;
    this.#character = text.getBoundingClientRect().width / PROBE || 8;
    this.#margin = text.getBoundingClientRect().left - probe.getBoundingClientRect().left;
    probe.remove();
  }

  #columns() {
    return Math.max(MIN_COLUMNS, Math.floor((this.element.clientWidth - this.#margin - END_SPACE) / this.#character));
  }

  #onResize() {
    this.#height = 0;
    this.show(this.lines, this.#stays);
  }

  #onScroll() {
    this.#draw();
    const { scrollTop, clientHeight } = this.element;
    const moved = scrollTop - this.#top;
    this.#top = scrollTop;
    // The list's own scrolling was recorded; added or removed lines are not user scrolling.
    if (moved) this.scrolled({ isUp: moved < 0, isAtEnd: this.isAtEnd, isAtStart: scrollTop < clientHeight });
  }

  /** @param {number} top */
  #scrollTo(top) {
    this.element.scrollTop = top;
    this.#top = this.element.scrollTop;
  }

  #draw() {
    const { scrollTop, clientHeight } = this.element;
    const from = Math.max(0, this.#layout.lineAt(Math.floor(scrollTop / this.#height)) - BEYOND);
    const last = this.#layout.lineAt(Math.ceil((scrollTop + clientHeight) / this.#height));
    const to = Math.min(this.lines.length, last + BEYOND);
    const key = `${from} ${to}`;
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.inner.style.transform = `translateY(${this.#layout.above(from) * this.#height}px)`;
    fill(
      this.inner,
      this.lines.slice(from, to).map((line, i) => this.#row(line, this.#layout.of(from + i))),
    );
  }

  /** @param {API.LogLine} line @param {number} rows its height in rows */
  #row(line, rows) {
    const text = h("span.log-text", marked(line.message, this.isMarked(line)));
    const element = this.#element(line, text, line.truncated && h("span.faint", " …"));
    if (rows > 1) element.style.height = `${rows * this.#height}px`;
    return element;
  }

  /** @param {Head} line @param {...Child} content */
  #element(line, ...content) {
    return h(
      "div",
      { class: `log-line${line.offset === this.current ? " current" : ""}`, data: { level: line.level } },
      h("span.log-number", line.line_number === null ? "" : count(line.line_number)),
      h(
        "time.log-time",
        { title: line.timestamp ? utcTime(line.timestamp) : "" },
        line.timestamp ? clockTime(line.timestamp) : "",
      ),
      h("span.log-level", { title: line.level }, SIGNS[line.level] ?? ""),
      content,
    );
  }
}

/** A letter in addition to the colour. @type {Record<API.LogLevel, string>} */
const SIGNS = { debug: "D", info: "", warning: "W", error: "E" };

/** A message with a match marked. @param {string} message @param {[from: number, to: number]|null} place @returns {Child} */
export function marked(message, place) {
  if (!place) return message;
  const [from, to] = place;
  // Positions count code points; strings here count UTF-16 units.
  const characters = Array.from(message);
  return [
    characters.slice(0, from).join(""),
    h("mark", characters.slice(from, to).join("")),
    characters.slice(to).join(""),
  ];
}
