// The grid of items, which renders only visible rows; for mouse and keyboard.

import { t } from "../../app/i18n.js";
import { h, setAttribute } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { attempt } from "../../ui/toast.js";
import { captionEditor } from "./caption_editor.js";
import { tile } from "./tile.js";

/** Minimum width of a tile, and height below its picture, in rem. */
const WIDTH = 12.5;
const TEXT = 5.4;
const GAP = 0.6;
/** Height of a picture relative to its width. */
const RATIO = 0.78;
/** Rows rendered above and below the visible ones. */
const BEYOND = 2;
/** Space below the grid, in rem. */
const FOOT = 4;

/** @typedef {{row: HTMLElement, tiles: ReturnType<typeof tile>[]}} Drawn */

export class Grid {
  active = 0;
  #columns = 1;
  #rowHeight = 100;
  /** @type {Map<number, Drawn>} by row number */
  #rows = new Map();
  /** Where a range selection starts. */
  #anchor = 0;
  /** The item whose caption is edited. @type {number|null} */
  #edited = null;

  /**
   * @param {object} options
   * @param {import("./items.js").Items} options.items
   * @param {import("./selection.js").Selection} options.chosen
   * @param {() => number|null} options.version the version shown, if it is not the newest
   * @param {(index: number) => void} options.open opens an item
   * @param {() => string|null} options.denied why captions cannot be changed
   * @param {(item: API.Item, caption: string) => Promise<void>} options.save saves a caption
   * @param {(item: API.Item) => void} options.remove removes the selected items, or this one if none is selected
   * @param {(item: API.Item) => void} options.exclude likewise excludes items, or includes excluded ones
   */
  constructor(options) {
    this.options = options;
    this.body = h("div.grid-body", { role: "rowgroup" });
    this.element = h("div.item-grid", {
      role: "grid",
      tabindex: 0,
      "aria-label": t("items"),
      "aria-multiselectable": "true",
      on: {
        keydown: (event) => this.#press(event),
        click: (event) => this.#click(event),
        dblclick: (event) => this.#open(event),
      },
    });
    this.element.append(this.body);
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this.sized = new ResizeObserver(() => this.#measure());
    this.sized.observe(this.element);
    this.fit = () => this.#fit();
    addEventListener("resize", this.fit);
  }

  close() {
    this.sized.disconnect();
    removeEventListener("resize", this.fit);
    for (const drawn of this.#rows.values()) remove(drawn);
    this.#rows.clear();
  }

  /** Scrolls to the start, after a change of the filter. */
  reset() {
    this.active = this.#anchor = 0;
    this.element.scrollTop = 0;
    this.#forget();
    this.draw();
  }

  /** Renders the visible rows again. */
  draw() {
    const { total } = this.options.items;
    const rows = Math.ceil(total / this.#columns);
    this.body.style.height = `${rows * this.#rowHeight}px`;
    setAttribute(this.element, "aria-rowcount", rows);
    setAttribute(this.element, "aria-colcount", this.#columns);
    const { scrollTop, clientHeight } = this.element;
    const from = Math.max(0, Math.floor(scrollTop / this.#rowHeight) - BEYOND);
    const to = Math.min(rows, Math.ceil((scrollTop + clientHeight) / this.#rowHeight) + BEYOND);
    const edited = this.#edited === null ? -1 : Math.floor(this.#edited / this.#columns);
    for (const [number, drawn] of this.#rows) {
      if ((number >= from && number < to) || number === edited) continue;
      remove(drawn);
      this.#rows.delete(number);
    }
    for (let number = from; number < to; number += 1) this.#drawRow(number, total);
    this.options.items.want(from * this.#columns, to * this.#columns);
    setAttribute(
      this.element,
      "aria-activedescendant",
      total && this.#tile(this.active) ? `item-${this.active}` : null,
    );
  }

  /** Makes an item the current one and shows it. @param {number} index */
  go(index) {
    const { total } = this.options.items;
    if (!total) return;
    this.active = Math.min(total - 1, Math.max(0, index));
    const top = Math.floor(this.active / this.#columns) * this.#rowHeight;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.#rowHeight > scrollTop + clientHeight)
      this.element.scrollTop = top + this.#rowHeight - clientHeight;
    this.draw();
  }

  /** Edits the caption of an item in place. @param {number} index */
  edit(index) {
    const denied = this.options.denied();
    this.go(index);
    const place = this.#tile(this.active);
    const item = place?.item;
    if (!place || !item || denied) return;
    this.#edited = this.active;
    captionEditor(place.caption, item, {
      save: (text) => this.options.save(item, text),
      done: (step) => {
        this.#edited = null;
        if (step) this.edit(Math.min(this.options.items.total - 1, Math.max(0, index + step)));
        else if (step === 0) this.element.focus({ preventScroll: true });
      },
    });
  }

  /** @param {number} number @param {number} total */
  #drawRow(number, total) {
    const first = number * this.#columns;
    const shown = Math.min(this.#columns, total - first);
    let drawn = this.#rows.get(number);
    // The last row may have gained or lost items.
    if (drawn && drawn.tiles.length !== shown) {
      remove(drawn);
      drawn = undefined;
    }
    if (!drawn) {
      const tiles = Array.from({ length: shown }, (_, i) =>
        tile(this.options.items.name, first + i, this.options.version),
      );
      const row = h(
        "div.grid-row",
        { role: "row", "aria-rowindex": number + 1 },
        tiles.map(({ element }) => element),
      );
      row.style.transform = `translateY(${number * this.#rowHeight}px)`;
      this.body.append(row);
      drawn = { row, tiles };
      this.#rows.set(number, drawn);
    }
    for (const [i, each] of drawn.tiles.entries()) {
      const item = this.options.items.at(first + i);
      each.update(item, { isActive: first + i === this.active, isChosen: this.options.chosen.has(item) });
    }
  }

  /** @param {number} index */
  #tile(index) {
    return this.#rows.get(Math.floor(index / this.#columns))?.tiles[index % this.#columns];
  }

  /** Extends the grid to the lower edge of the window. */
  #fit() {
    const top = this.element.getBoundingClientRect().top + scrollY;
    if (this.element.clientWidth) this.element.style.height = `${Math.round(innerHeight - top - FOOT * rootSize())}px`;
  }

  #measure() {
    const rem = rootSize();
    this.#fit();
    const width = this.element.clientWidth;
    if (!width) return;
    const columns = Math.max(2, Math.floor((width + GAP * rem) / ((WIDTH + GAP) * rem)));
    const height = Math.round((width / columns - GAP * rem) * RATIO + (TEXT + GAP) * rem);
    if (columns === this.#columns && height === this.#rowHeight) return this.draw();
    const top = Math.floor(this.element.scrollTop / this.#rowHeight) * this.#columns;
    this.#columns = columns;
    this.#rowHeight = height;
    this.element.style.setProperty("--columns", String(columns));
    this.element.style.setProperty("--row", `${height}px`);
    this.#forget();
    this.draw();
    this.element.scrollTop = Math.floor(top / columns) * height;
  }

  /** Drops the rendered rows, because they show other items. */
  #forget() {
    for (const drawn of this.#rows.values()) remove(drawn);
    this.#rows.clear();
    this.#edited = null;
  }

  /** @param {Event} event @returns {number|null} */
  #indexAt({ target }) {
    const found = target instanceof Element ? target.closest(".tile") : null;
    return found instanceof HTMLElement ? Number(found.dataset.index) : null;
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const index = this.#indexAt(event);
    if (index === null || (event.target instanceof Element && event.target.closest("textarea"))) return;
    const item = this.options.items.at(index);
    // Touch screens have no second button and no keys: a tap opens an item, except on the selection mark.
    if (isTouch(event) && !isOnMark(event)) return this.options.open(index);
    if (event.shiftKey) this.#chooseUpTo(index);
    else if (item && (event.ctrlKey || event.metaKey || isOnMark(event))) this.#toggle(item);
    else if (item) this.options.chosen.set([item]);
    if (!event.shiftKey) this.#anchor = index;
    this.go(index);
  }

  /** @param {MouseEvent} event */
  #open(event) {
    const index = this.#indexAt(event);
    if (index === null || (event.target instanceof Element && event.target.closest("textarea"))) return;
    if (event.target instanceof Element && event.target.closest(".tile-text")) this.edit(index);
    else this.options.open(index);
  }

  /** Deselecting one item of "all" selects all others. @param {API.Item} item */
  async #toggle(item) {
    if (this.options.chosen.isAll) this.options.chosen.set((await attempt(() => this.options.items.all())) ?? []);
    this.options.chosen.toggle(item);
  }

  /** @param {number} index */
  async #chooseUpTo(index) {
    const [from, to] = [Math.min(this.#anchor, index), Math.max(this.#anchor, index)];
    const here = Array.from({ length: to - from + 1 }, (_, i) => this.options.items.at(from + i));
    if (!here.includes(undefined)) return this.options.chosen.set(here);
    const all = await attempt(() => this.options.items.all());
    if (all) this.options.chosen.set(all.slice(from, to + 1));
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.target !== this.element || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.#rowHeight)) * this.#columns;
    const last = this.options.items.total - 1;
    /** @type {Record<string, number>} */
    const moves = {
      ArrowLeft: this.active - 1,
      ArrowRight: this.active + 1,
      ArrowUp: this.active - this.#columns,
      ArrowDown: this.active + this.#columns,
      PageUp: this.active - page,
      PageDown: this.active + page,
      Home: 0,
      End: last,
    };
    const item = this.options.items.at(this.active);
    const to = moves[event.key];
    if (event.ctrlKey || event.metaKey) {
      if (event.key.toLowerCase() !== "a") return;
      this.options.chosen.all();
    } else if (to !== undefined) {
      if (to < 0 && event.key === "ArrowUp") return void event.preventDefault();
      this.go(to);
      if (event.shiftKey) this.#chooseUpTo(this.active);
      else this.#anchor = this.active;
    } else if (event.key === "Enter" && item) this.options.open(this.active);
    else if (event.key === " " && item) this.#toggle(item);
    else if (event.key.toLowerCase() === "e") this.edit(this.active);
    else if (event.key.toLowerCase() === "x" && item) this.options.exclude(item);
    else if (event.key === "Delete" && item) this.options.remove(item);
    else if (event.key === "Escape" && !this.options.chosen.isNone) this.options.chosen.clear();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

const rootSize = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

/** @param {Drawn} drawn */
function remove({ row, tiles }) {
  for (const each of tiles) each.close();
  row.remove();
}

/** @param {MouseEvent} event */
const isTouch = (event) => event instanceof PointerEvent && event.pointerType === "touch";

/** Whether the event is on the selection mark. @param {Event} event */
const isOnMark = ({ target }) => target instanceof Element && target.closest(".tile-mark") !== null;

/** The number of items, and of selected items. @param {number} total @param {number} chosen */
export const amountText = (total, chosen) =>
  chosen ? t("chosen.n", { n: count(chosen), total: count(total) }) : t("items.n", { n: count(total) });
