// The lightbox of samples: other prompts and models by arrow keys, a wipe between two models, zoom, and ratings.

import { t } from "../../app/i18n.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { options, selectInput } from "../../ui/fields.js";
import { icon } from "../../ui/icons.js";
import { attempt, toast } from "../../ui/toast.js";
import { fileName, isVideo, mayMove, RATINGS, ratingButtons, ratingOf, ratingText, rowName } from "./sample_model.js";

const MAX_ZOOM = 8;
const ZOOM_STEP = 1.5;
const WIPE_STEP = 5;
/** Pixels that a finger must move to turn the page. */
const SWIPE = 48;
/** The choices of what is beside the picture that are no saved model. */
const [NOTHING, BASE] = ["-", ""];

/** @typedef {{rate: (sample: API.GridSample, rating: number|null) => Promise<void>, choose: (name: string) => Promise<void>, denied: () => string|null, chosen: () => string|null, closed: (row: import("./sample_model.js").Row, column: string) => void}} Actions */

/**
 * @param {() => import("./sample_model.js").SampleTable} table the current samples
 * @param {import("./sample_model.js").Row} firstRow @param {string} firstColumn @param {Actions} actions
 */
export function openViewer(table, firstRow, firstColumn, actions) {
  let [row, column] = [firstRow, firstColumn];
  /** Row of the picture beside it. */
  let beside = NOTHING;
  let lastBeside = BASE;
  let [wipe, zoom, panX, panY] = [50, 1, 0, 0];

  const [front, back] = [h("div.pane"), h("div.pane.over")];
  const line = h("div.wipe-line", { "aria-hidden": "true" });
  const names = [h("span.side.left.mono"), h("span.side.right.mono")];
  const stage = h("div.stage", front, back, line, names);
  const about = h("div.about.small.foreign", { "aria-live": "polite" });
  const range = h("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": t("viewer.wipe") });
  const wipeField = h("label.wipe", t("viewer.wipe"), range);
  const select = selectInput([], { "aria-label": t("viewer.compare"), id: "viewer-compare" });
  const save = h("a.button.small", { "aria-label": t("download") }, icon("down"));
  const level = h("button.button.small.level", { type: "button", on: { click: () => setZoom(1) } });
  const star = h("button.button.small.star", { type: "button", on: { click: choose } }, icon("star"));
  const marks = ratingButtons("button.button.small", rate);
  /** @param {WordKey} key @param {import("../../ui/icons.js").IconName} sign @param {() => void} run */
  const button = (key, sign, run) =>
    h("button.button.small", { type: "button", "aria-label": t(key), title: t(key), on: { click: run } }, icon(sign));
  const dialog = openDialog(
    t("grid"),
    (close) =>
      h(
        "div.viewer",
        stage,
        about,
        h(
          "div.under",
          h(
            "span.group",
            button("viewer.left", "left", () => go(-1, 0)),
            button("viewer.right", "right", () => go(1, 0)),
            button("viewer.up", "up", () => go(0, -1)),
            button("viewer.down", "chevron", () => go(0, 1)),
          ),
          h("span.group", { role: "group", "aria-label": t("viewer.rating") }, marks, star),
          h("label.compare", h("span.soft", t("viewer.compare")), select),
          wipeField,
          h(
            "span.group",
            h(
              "button.button.small",
              { type: "button", "aria-label": t("viewer.zoom.out"), on: { click: () => setZoom(zoom / ZOOM_STEP) } },
              "−",
            ),
            level,
            h(
              "button.button.small",
              { type: "button", "aria-label": t("viewer.zoom.in"), on: { click: () => setZoom(zoom * ZOOM_STEP) } },
              "+",
            ),
          ),
          h("span.group.end", save, button("close", "close", close)),
        ),
        h("p.faint.tiny.viewer-keys", t("viewer.keys")),
      ),
    "lightbox sample-viewer",
  );

  const columnNow = () => table().columns.find(({ key }) => key === column) ?? table().columns[0];
  const sample = () => table().at(row, columnNow());
  const other = () => (beside === NOTHING ? undefined : table().at(beside === BASE ? null : beside, columnNow()));

  /** @param {number} dx @param {number} dy */
  function go(dx, dy) {
    const { rows, columns } = table();
    const [x, y] = table().next(columns.indexOf(columnNow()), rows.indexOf(row), dx, dy);
    [row, column] = [rows[y], columns[x].key];
    show();
  }

  function show() {
    const [now, second, at] = [sample(), other(), columnNow()];
    if (!now) return dialog.close();
    draw(front, now);
    draw(back, second);
    line.hidden = wipeField.hidden = !second;
    fill(names[0], second && rowName(now.checkpoint));
    fill(names[1], second && rowName(second.checkpoint));
    const facts = [
      t("grid.seed", { seed: now.seed }),
      t("viewer.strength", { strength: now.strength }),
      now.width && now.height ? `${now.width} × ${now.height}` : "",
    ];
    fill(
      about,
      h("b.mono", rowName(now.checkpoint)),
      h("span.rating", ratingText(now.rating)),
      h("span", now.prompt),
      h("span.faint", facts.filter(Boolean).join(" · ")),
      now.negative && h("span.faint", t("viewer.negative", { text: now.negative })),
    );
    const rows = table().rows.filter((each) => each !== row && table().at(each, at)?.url);
    fill(
      select,
      options(
        [
          [NOTHING, t("viewer.alone")],
          ...rows.map((each) => /** @type {const} */ ([each ?? BASE, each === null ? t("viewer.control") : each])),
        ],
        second ? beside : NOTHING,
      ),
    );
    for (const [i, rating] of RATINGS.entries()) setAttribute(marks[i], "aria-pressed", String(now.rating === rating));
    star.hidden = row === null;
    setAttribute(star, "aria-pressed", String(row !== null && row === actions.chosen()));
    setAttribute(star, "aria-label", t("chosen.choose", { name: row ?? "" }));
    setAttribute(star, "title", t("chosen.choose", { name: row ?? "" }));
    save.href = now.url ?? "";
    save.download = fileName(now);
    place();
  }

  /** @param {HTMLElement} pane @param {API.GridSample|undefined} shown */
  function draw(pane, shown) {
    pane.hidden = !shown?.url;
    if (!shown?.url) return fill(pane);
    // The same picture stays, so that a rating does not make it flicker.
    const old = pane.firstElementChild;
    if (old instanceof HTMLElement && old.dataset.url === shown.url) return pane;
    const alt = `${rowName(shown.checkpoint)}: ${shown.prompt}`;
    const moves = mayMove();
    const made = isVideo(shown)
      ? h("video", {
          src: shown.url,
          loop: true,
          autoplay: moves,
          playsinline: true,
          controls: !moves,
          "aria-label": alt,
        })
      : h("img", { src: shown.url, alt, draggable: "false" });
    if (made instanceof HTMLVideoElement) made.muted = true;
    made.dataset.url = shown.url;
    return fill(pane, made);
  }

  function place() {
    for (const pane of [front, back]) {
      const picture = pane.firstElementChild;
      if (picture instanceof HTMLElement) picture.style.transform = `translate(${panX}px, ${panY}px) scale(${zoom})`;
    }
    back.style.clipPath = `inset(0 0 0 ${wipe}%)`;
    line.style.left = `${wipe}%`;
    range.value = String(wipe);
    level.textContent = `${Math.round(zoom * 100)} %`;
    setAttribute(level, "aria-label", t("viewer.zoom.reset", { percent: Math.round(zoom * 100) }));
    stage.classList.toggle("zoomed", zoom > 1);
  }

  /** @param {number} value @param {{x: number, y: number}} [at] stays where it is, relative to the middle of the stage */
  function setZoom(value, at = { x: 0, y: 0 }) {
    const next = Math.min(MAX_ZOOM, Math.max(1, value));
    const limit = (/** @type {number} */ pan, /** @type {number} */ length) =>
      Math.min((length * (next - 1)) / 2, Math.max((-length * (next - 1)) / 2, pan));
    panX = limit(at.x - ((at.x - panX) * next) / zoom, stage.clientWidth);
    panY = limit(at.y - ((at.y - panY) * next) / zoom, stage.clientHeight);
    zoom = next;
    place();
  }

  /** @param {number} dx @param {number} dy */
  function pan(dx, dy) {
    [panX, panY] = [panX + dx, panY + dy];
    setZoom(zoom);
  }

  /** @param {number} value */
  function setWipe(value) {
    wipe = Math.min(100, Math.max(0, value));
    place();
  }

  /** @param {string} value */
  function compare(value) {
    beside = value;
    if (value !== NOTHING) lastBeside = value;
    show();
  }

  function toggleCompare() {
    if (other()) return compare(NOTHING);
    const rows = table().rows.filter((each) => each !== row && table().at(each, columnNow())?.url);
    const wanted = rows.find((each) => (each ?? BASE) === lastBeside) ?? rows[0];
    if (wanted !== undefined) compare(wanted ?? BASE);
  }

  /** The same rating again removes it. @param {number} rating */
  function rate(rating) {
    const now = sample();
    const denied = actions.denied();
    if (denied) return toast("bad", denied);
    if (now) attempt(() => actions.rate(now, now.rating === rating ? null : rating).then(show));
  }

  function choose() {
    const denied = actions.denied();
    const name = row;
    if (denied) toast("bad", denied);
    else if (name !== null) attempt(() => actions.choose(name).then(show));
  }

  select.addEventListener("change", () => compare(select.value));
  range.addEventListener("input", () => setWipe(range.valueAsNumber));
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === select) return;
    const rating = ratingOf(event.key);
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => go(-1, 0),
      ArrowRight: () => go(1, 0),
      ArrowUp: () => go(0, -1),
      ArrowDown: () => go(0, 1),
      s: choose,
      c: toggleCompare,
      "[": () => setWipe(wipe - WIPE_STEP),
      "]": () => setWipe(wipe + WIPE_STEP),
      "+": () => setZoom(zoom * ZOOM_STEP),
      "=": () => setZoom(zoom * ZOOM_STEP),
      "-": () => setZoom(zoom / ZOOM_STEP),
      0: () => setZoom(1),
      p: togglePlay,
    };
    if (event.target === range && event.key.startsWith("Arrow")) return;
    const run = rating === undefined ? keys[event.key] : () => rate(rating);
    if (!run) return;
    event.preventDefault();
    run();
  });
  dialog.addEventListener("close", () => {
    for (const video of stage.querySelectorAll("video")) video.removeAttribute("src");
    actions.closed(row, column);
  });
  gestures();

  function togglePlay() {
    for (const video of stage.querySelectorAll("video")) {
      if (video.paused) video.play().catch(() => {});
      else video.pause();
    }
  }

  /** Drags wipe or move the zoomed picture; a finger's swipe turns the page; two fingers and the wheel zoom. */
  function gestures() {
    /** @type {Map<number, {x: number, y: number}>} */
    const pointers = new Map();
    let [startX, startY, hadTwo, isWiping] = [0, 0, false, false];
    const middle = () => stage.getBoundingClientRect();
    const relative = (/** @type {number} */ x, /** @type {number} */ y) => {
      const { left, top, width, height } = middle();
      return { x: x - left - width / 2, y: y - top - height / 2 };
    };
    const toWipe = (/** @type {number} */ x) => setWipe(((x - middle().left) / middle().width) * 100);
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      hadTwo = pointers.size > 1;
      [startX, startY] = [event.clientX, event.clientY];
      const distance = Math.abs(event.clientX - middle().left - (middle().width * wipe) / 100);
      isWiping = other() !== undefined && (zoom === 1 || distance < 24);
    });
    stage.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = { x: event.clientX, y: event.clientY };
      if (pointers.size === 2) {
        const [fixed] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
        const length = (/** @type {{x: number, y: number}} */ point) =>
          Math.max(1, Math.hypot(point.x - fixed.x, point.y - fixed.y));
        setZoom((zoom * length(now)) / length(before), relative((now.x + fixed.x) / 2, (now.y + fixed.y) / 2));
      } else if (isWiping) toWipe(now.x);
      else if (zoom > 1) pan(now.x - before.x, now.y - before.y);
      pointers.set(event.pointerId, now);
    });
    const end = (/** @type {PointerEvent} */ event) => {
      if (!pointers.delete(event.pointerId) || pointers.size || event.type === "pointercancel") return;
      const [dx, dy] = [event.clientX - startX, event.clientY - startY];
      if (hadTwo || isWiping || zoom > 1 || event.pointerType === "mouse") return;
      if (Math.abs(dx) > SWIPE && Math.abs(dx) > Math.abs(dy)) go(dx < 0 ? 1 : -1, 0);
      else if (Math.abs(dy) > SWIPE) go(0, dy < 0 ? 1 : -1);
    };
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
    stage.addEventListener("dblclick", ({ clientX, clientY }) => setZoom(zoom > 1 ? 1 : 3, relative(clientX, clientY)));
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        setZoom(zoom * Math.exp(-event.deltaY / 400), relative(event.clientX, event.clientY));
      },
      { passive: false },
    );
  }

  show();
  return dialog;
}
