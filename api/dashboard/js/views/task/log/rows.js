// A list of any length of which only what can be seen is in the page.

import { fill, h } from "../../../dom.js";
import { clockTime, count, utcTime } from "../../../format.js";
import { Layout } from "./layout.js";

const BEYOND = 12;
// Characters by which the width of one is measured.
const PROBE = 80;
const MIN_COLUMNS = 10;
// Pixels at the end of a line: the bar to scroll by may lie there.
const END_SPACE = 24;

export class Rows {
  /** Height of a line in pixels; measured once, and again when the window changes. */
  #height = 0;
  /** Width of a character, and of what stands before the text, in pixels. */
  #character = 8;
  #margin = 0;
  #drawn = "";
  #top = 0;
  #stays = true;
  #wraps = false;
  #layout = new Layout([], null);

  /** @param {(how: {isUp: boolean, isAtEnd: boolean, isAtStart: boolean}) => void} scrolled by a person */
  constructor(scrolled) {
    this.inner = h("div", { class: "log-rows" });
    this.spacer = h("div", { class: "log-spacer" }, this.inner);
    this.element = h("div", { class: "log-scroll", tabindex: 0, role: "log", "aria-live": "off" }, this.spacer);
    this.lines = [];
    this.isMarked = () => null;
    this.current = null;
    this.scrolled = scrolled;
    this.element.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.sized = new ResizeObserver(() => this.#onResize());
    this.sized.observe(this.element);
  }

  /**
   * Shows these lines.
   * @param {any[]} lines
   * @param {boolean} stays keep to the end
   * @param {number} shift lines that came in above; those that went are negative
   */
  show(lines, stays, shift = 0) {
    this.#measure();
    const before = this.#layout;
    this.lines = lines;
    this.#layout = new Layout(lines, this.#wraps ? this.#columns() : null);
    this.spacer.style.height = `${this.#layout.rows * this.#height}px`;
    this.#stays = stays;
    const rows = shift < 0 ? -before.above(-shift) : this.#layout.above(shift);
    if (stays) this.#scrollTo(this.element.scrollHeight);
    else this.#scrollTo(this.element.scrollTop + rows * this.#height);
    this.#drawn = "";
    this.#draw();
  }

  /** Whether long lines are broken; what stands on top stays there. */
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

  /** Brings a line into the middle. */
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
    const probe = this.#row({ message: "", timestamp: null, line_number: null, level: "info" }, 1);
    this.inner.append(probe);
    // The text itself: wrapped, its element is as wide as there is room.
    const text = h("span", {}, "x".repeat(PROBE));
    probe.querySelector(".log-text").style.whiteSpace = "pre";
    fill(probe.querySelector(".log-text"), text);
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
    // What this list scrolls itself was noted when it did; and lines that go or come move nobody upwards.
    if (moved) this.scrolled({ isUp: moved < 0, isAtEnd: this.isAtEnd, isAtStart: scrollTop < clientHeight });
  }

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

  #row(line, rows) {
    const element = h(
      "div",
      { class: `log-line${line.offset === this.current ? " current" : ""}`, data: { level: line.level } },
      h("span", { class: "log-number" }, line.line_number === null ? "" : count(line.line_number)),
      h(
        "time",
        { class: "log-time", title: line.timestamp ? utcTime(line.timestamp) : "" },
        line.timestamp ? clockTime(line.timestamp) : "",
      ),
      h("span", { class: "log-level", title: line.level }, SIGNS[line.level] ?? ""),
      h("span", { class: "log-text" }, marked(line, this.isMarked(line))),
      line.truncated && h("span", { class: "faint" }, " …"),
    );
    if (rows > 1) element.style.height = `${rows * this.#height}px`;
    return element;
  }
}

/** A letter beside the colour. */
const SIGNS = { debug: "D", info: "", warning: "W", error: "E" };

function marked(line, place) {
  if (!place) return line.message;
  const [from, to] = place;
  // Positions count characters as people do, strings here count in halves of some.
  const characters = Array.from(line.message);
  return [
    characters.slice(0, from).join(""),
    h("mark", {}, characters.slice(from, to).join("")),
    characters.slice(to).join(""),
  ];
}
