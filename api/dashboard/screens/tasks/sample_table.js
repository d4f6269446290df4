// The grid of samples, of which only the visible cells exist. The headings stay in view; arrow keys move.

import { t } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { isClip, isVideo, mayMove, ratingText, rowName, SampleTable } from "./sample_model.js";

/** In rem: the heading of rows, that of columns, a cell with its gap; on a narrow screen and on others. */
const NARROW = { width: 34, head: 6.2, top: 4.6, cell: 8.2 };
const WIDE = { head: 9.5, top: 4.6, cell: 11 };
/** Pixels between the margins of printed A4 paper. */
const PAPER = 690;
/** Cells that are rendered beyond the visible ones. */
const BEYOND = 2;

/** @typedef {import("./sample_model.js").Row} Row */
/** @typedef {{element: HTMLElement, head: HTMLElement, state: string, y: number, cells: Map<string, Drawn>}} DrawnRow */
/** @typedef {{element: HTMLElement, state: string}} Drawn */

/**
 * @param {object} options
 * @param {(row: Row, column: string) => void} options.open
 * @param {(name: string) => Promise<void>} options.choose
 * @param {() => string|null} options.denied why models cannot be chosen
 * @param {() => string|null} options.chosen
 */
export function sampleTable({ open, choose, denied, chosen }) {
  const corner = h("div.corner", { role: "columnheader" }, h("span.visually-hidden", t("grid.model")));
  const heads = h("div.heads", { role: "row", "aria-rowindex": 1 }, corner);
  const space = h("div.space", { role: "rowgroup" }, heads);
  const element = h("div.sample-scroll", { role: "grid", "aria-label": t("grid") }, space);
  let table = new SampleTable([], []);
  let size = { head: 0, top: 0, cell: 1 };
  /** @type {Map<string, DrawnRow>} */
  const rows = new Map();
  /** @type {Map<string, HTMLElement>} */
  const columnHeads = new Map();
  /** The cell that Tab reaches. @type {{row: Row, column: string}|null} */
  let active = null;
  let frame = 0;
  let isPrinted = false;
  /** The cells that exist. */
  let range = "";

  const sized = new ResizeObserver(() => measure());
  sized.observe(element);
  element.addEventListener(
    "scroll",
    () => {
      frame ||= requestAnimationFrame(() => draw(true));
    },
    { passive: true },
  );
  element.addEventListener("keydown", press);
  addEventListener("beforeprint", print);
  addEventListener("afterprint", print);

  function measure() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const sizes = element.clientWidth < NARROW.width * rem ? NARROW : WIDE;
    const next = { head: sizes.head * rem, top: sizes.top * rem, cell: sizes.cell * rem };
    if (!element.clientWidth) return;
    if (next.cell !== size.cell) {
      const [left, top] = [element.scrollLeft / size.cell, element.scrollTop / size.cell];
      size = next;
      for (const [name, value] of Object.entries(size)) element.style.setProperty(`--${name}`, `${value}px`);
      layOut();
      element.scrollTo(left * size.cell, top * size.cell);
    }
    draw();
  }

  function layOut() {
    space.style.width = `${size.head + table.columns.length * size.cell}px`;
    space.style.height = `${size.top + table.rows.length * size.cell}px`;
    setAttribute(element, "aria-rowcount", table.rows.length + 1);
    setAttribute(element, "aria-colcount", table.columns.length + 1);
  }

  /** The range of visible indices. @param {number} from @param {number} length @param {number} total */
  const visible = (from, length, total) =>
    isPrinted
      ? [0, total]
      : [
          Math.max(0, Math.floor(from / size.cell) - BEYOND),
          Math.min(total, Math.ceil((from + length) / size.cell) + BEYOND),
        ];

  /** On paper all cells exist, as wide as a page. @param {Event} event */
  function print({ type }) {
    isPrinted = type === "beforeprint";
    element.style.setProperty("--print-zoom", String(Math.min(1, PAPER / parseFloat(space.style.width || "1"))));
    draw();
  }

  /** @param {boolean} [isScrolled] nothing else has changed */
  function draw(isScrolled = false) {
    cancelAnimationFrame(frame);
    frame = 0;
    if (!element.clientWidth || !size.top) return;
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = element;
    const [left, right] = visible(scrollLeft, clientWidth - size.head, table.columns.length);
    const [top, bottom] = visible(scrollTop, clientHeight - size.top, table.rows.length);
    const next = [left, right, top, bottom].join();
    if (isScrolled && next === range) return;
    range = next;
    const columns = table.columns.slice(left, right);
    drawHeads(columns, left);
    const wanted = new Set();
    for (let y = top; y < bottom; y++) {
      wanted.add(table.rows[y] ?? "");
      drawRow(table.rows[y], y, columns, left);
    }
    for (const [key, row] of rows) {
      // The focused cell stays, so that the keyboard continues from there.
      if (wanted.has(key) || row.element.contains(document.activeElement)) continue;
      row.element.remove();
      rows.delete(key);
    }
    if (active && !table.rows.includes(active.row)) active = null;
    active ??= table.rows.length ? { row: table.rows[0], column: table.columns[0].key } : null;
    markActive();
  }

  /** @param {import("./sample_model.js").Column[]} columns @param {number} left */
  function drawHeads(columns, left) {
    const keys = new Set(columns.map(({ key }) => key));
    for (const [key, head] of columnHeads) {
      if (keys.has(key)) continue;
      head.remove();
      columnHeads.delete(key);
    }
    for (const [i, { key, prompt, seed, strength }] of columns.entries()) {
      let head = columnHeads.get(key);
      if (!head) {
        const facts =
          strength && strength !== 1 ? t("grid.seed.strength", { seed, strength }) : t("grid.seed", { seed });
        head = h(
          "div.column-head",
          { role: "columnheader", "aria-colindex": left + i + 2, title: prompt },
          h("span.prompt.foreign", prompt),
          h("span.faint.tiny", facts),
        );
        columnHeads.set(key, head);
        heads.append(head);
      }
      head.style.left = `${size.head + (left + i) * size.cell}px`;
    }
  }

  /** @param {Row} row @param {number} y @param {import("./sample_model.js").Column[]} columns @param {number} left */
  function drawRow(row, y, columns, left) {
    const key = row ?? "";
    let drawn = rows.get(key);
    if (!drawn) {
      const head = h("div.row-head", { role: "rowheader" });
      drawn = { element: h("div.sample-row", { role: "row" }, head), head, state: "", y, cells: new Map() };
      // In their order, for Tab and screen readers.
      const after = [...rows.values()].filter((each) => each.y > y).sort((a, b) => a.y - b.y)[0];
      rows.set(key, drawn);
      space.insertBefore(drawn.element, after?.element ?? null);
    }
    drawn.y = y;
    drawn.element.style.top = `${size.top + y * size.cell}px`;
    setAttribute(drawn.element, "aria-rowindex", y + 2);
    const isChosen = row !== null && row === chosen();
    const state = `${isChosen} ${denied()}`;
    if (drawn.state !== state) {
      drawn.state = state;
      drawn.element.dataset.chosen = isChosen ? "yes" : "";
      fill(drawn.head, row === null ? h("span.soft", rowName(row)) : starred(row, isChosen));
    }
    const keys = new Set(columns.map((column) => column.key));
    for (const [column, cell] of drawn.cells) {
      if (keys.has(column) || cell.element.contains(document.activeElement)) continue;
      cell.element.remove();
      drawn.cells.delete(column);
    }
    for (const [i, column] of columns.entries()) {
      const sample = table.at(row, column);
      const state = sample
        ? [sample.sample_id, sample.thumbnail, sample.rating, sample.problem, sample.url].join()
        : "";
      let cell = drawn.cells.get(column.key);
      if (!cell) {
        cell = { element: h("div.cell", { role: "gridcell", data: { column: column.key } }), state: "new" };
        drawn.cells.set(column.key, cell);
        drawn.element.append(cell.element);
      }
      cell.element.style.left = `${size.head + (left + i) * size.cell}px`;
      setAttribute(cell.element, "aria-colindex", left + i + 2);
      if (cell.state === state) continue;
      const hadFocus = cell.element.contains(document.activeElement);
      cell.state = state;
      fill(
        cell.element,
        sample &&
          content(
            sample,
            () => open(row, column.key),
            () => setActive(row, column.key),
          ),
      );
      if (hadFocus) target(cell.element)?.focus({ preventScroll: true });
    }
  }

  /** @param {string} name @param {boolean} isChosen */
  function starred(name, isChosen) {
    const button = actionButton("", denied(), () => choose(name), icon("star"));
    button.className = "text-button star";
    button.setAttribute("aria-pressed", String(isChosen));
    button.setAttribute("aria-label", t("chosen.choose", { name }));
    button.title ||= t(isChosen ? "chosen.undo" : "chosen.choose", { name });
    return [button, h("span.mono.clip", { title: name }, name)];
  }

  /** What is focused in a cell. @param {Element|null|undefined} cell @returns {HTMLElement|null} */
  const target = (cell) => cell?.querySelector("button, p") ?? null;

  /** @param {Row} row @param {string} column */
  const cellAt = (row, column) => rows.get(row ?? "")?.cells.get(column)?.element;

  /** @param {Row} row @param {string} column */
  function setActive(row, column) {
    active = { row, column };
    markActive();
  }

  function markActive() {
    for (const [key, { cells }] of rows)
      for (const [column, { element: cell }] of cells)
        target(cell)?.setAttribute("tabindex", (active?.row ?? "") === key && active?.column === column ? "0" : "-1");
  }

  /** @param {KeyboardEvent} event */
  function press(event) {
    const at = event.target instanceof Element ? event.target.closest(".cell") : null;
    if (!at || !active || event.ctrlKey || event.metaKey || event.altKey) return;
    const [x, y] = [table.columns.findIndex(({ key }) => key === active?.column), table.rows.indexOf(active.row)];
    const [lastX, lastY] = [table.columns.length - 1, table.rows.length - 1];
    const page = Math.max(1, Math.floor((element.clientHeight - size.top) / size.cell));
    /** @type {Record<string, [number, number]>} */
    const moves = {
      ArrowLeft: [x - 1, y],
      ArrowRight: [x + 1, y],
      ArrowUp: [x, y - 1],
      ArrowDown: [x, y + 1],
      PageUp: [x, Math.max(0, y - page)],
      PageDown: [x, Math.min(lastY, y + page)],
      Home: [0, y],
      End: [lastX, y],
    };
    const to = moves[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    const [column, row] = [Math.min(lastX, Math.max(0, to[0])), Math.min(lastY, Math.max(0, to[1]))];
    focus(table.rows[row], table.columns[column].key);
  }

  /** Shows a cell and focuses it. @param {Row} row @param {string} column */
  function focus(row, column) {
    const [x, y] = [table.columns.findIndex(({ key }) => key === column), table.rows.indexOf(row)];
    if (x < 0 || y < 0) return;
    active = { row, column };
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = element;
    const into = (/** @type {number} */ at, /** @type {number} */ from, /** @type {number} */ length) =>
      Math.max(Math.min(from, at * size.cell), (at + 1) * size.cell - length);
    element.scrollTo(into(x, scrollLeft, clientWidth - size.head), into(y, scrollTop, clientHeight - size.top));
    draw();
    target(cellAt(row, column))?.focus({ preventScroll: true });
  }

  return {
    element,
    focus,
    /** Shows these samples. Rows above the visible ones do not move them. @param {SampleTable} next */
    update(next) {
      const top = Math.floor(element.scrollTop / size.cell);
      const row = table.rows[top];
      const isScrolled = element.scrollTop > 0;
      table = next;
      // It may just have become visible.
      if (!size.top) return measure();
      layOut();
      const moved = table.rows.indexOf(row) - top;
      if (isScrolled && moved > 0) element.scrollTop += moved * size.cell;
      draw();
    },
    close: () => {
      sized.disconnect();
      removeEventListener("beforeprint", print);
      removeEventListener("afterprint", print);
      cancelAnimationFrame(frame);
    },
  };
}

/** @param {API.GridSample} sample @param {() => void} open @param {() => void} focused */
function content(sample, open, focused) {
  const mark = h("span.rating.tiny", ratingText(sample.rating));
  if (!sample.thumbnail)
    return h("p.bad.tiny.foreign.problem", { title: sample.problem, on: { focus: focused } }, sample.problem);
  const button = h(
    "button.sample-cell",
    {
      type: "button",
      "aria-label": `${rowName(sample.checkpoint)}: ${sample.prompt}`,
      on: { click: open, focus: focused },
    },
    h("img", { src: sample.thumbnail, alt: "", decoding: "async", draggable: "false" }),
    isClip(sample) && h("span.clip-mark", icon("play")),
    mark,
  );
  if (isClip(sample)) moveOnHover(button, sample);
  return button;
}

/** A clip moves while the pointer or the focus is on it. @param {HTMLElement} button @param {API.GridSample} sample */
function moveOnHover(button, sample) {
  /** @type {HTMLElement|null} */
  let moving = null;
  const start = () => {
    if (moving || !mayMove() || !sample.url) return;
    moving = isVideo(sample)
      ? h("video", {
          src: sample.url,
          muted: true,
          loop: true,
          autoplay: true,
          playsinline: true,
          "aria-hidden": "true",
        })
      : h("img", { src: sample.url, alt: "" });
    if (moving instanceof HTMLVideoElement) moving.muted = true;
    moving.classList.add("moving");
    button.append(moving);
  };
  const stop = () => {
    // Without a source, a video stops loading at once.
    moving?.removeAttribute("src");
    moving?.remove();
    moving = null;
  };
  button.addEventListener("pointerenter", start);
  button.addEventListener("focus", start);
  button.addEventListener("pointerleave", stop);
  button.addEventListener("blur", stop);
}
