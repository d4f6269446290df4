// A list of any length of which only what can be seen is in the page.

import { fill, h } from "../../../dom.js";
import { clockTime, count, utcTime } from "../../../format.js";

const BEYOND = 12;

export class Rows {
  /** Height of a line in pixels; measured once, and again when the window changes. */
  #height = 0;
  #drawn = "";
  #top = 0;
  #stays = true;

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
   * @param {number} shift lines that came in above
   */
  show(lines, stays, shift = 0) {
    this.lines = lines;
    this.#measure();
    this.spacer.style.height = `${lines.length * this.#height}px`;
    this.#stays = stays;
    if (stays) this.#scrollTo(this.element.scrollHeight);
    else this.#scrollTo(this.element.scrollTop + shift * this.#height);
    this.#drawn = "";
    this.#draw();
  }

  get isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < this.#height * 1.5;
  }

  /** Brings a line into the middle. */
  reveal(index) {
    this.current = this.lines[index]?.offset ?? null;
    this.#scrollTo(Math.max(0, index * this.#height - this.element.clientHeight / 2));
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
    const probe = h("div", { class: "log-line" }, "x");
    this.inner.append(probe);
    this.#height = probe.getBoundingClientRect().height || 18;
    probe.remove();
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
    const from = Math.max(0, Math.floor(scrollTop / this.#height) - BEYOND);
    const to = Math.min(this.lines.length, Math.ceil((scrollTop + clientHeight) / this.#height) + BEYOND);
    const key = `${from} ${to}`;
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.inner.style.transform = `translateY(${from * this.#height}px)`;
    fill(
      this.inner,
      this.lines.slice(from, to).map((line) => this.#row(line)),
    );
  }

  #row(line) {
    return h(
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
