// The log of a training, or of the server: follow, pause, filter and search. Only visible lines are rendered.

import { api, logDownloadURL } from "../../app/api.js";
import { refusalText } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { recall, remember } from "../../app/settings.js";
import { h, setAttribute, setText } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { segments } from "../../ui/segments.js";
import { attempt } from "../../ui/toast.js";
import { LogLines, MAX_FOLLOWED } from "./lines.js";
import { Rows } from "./rows.js";

const LEVELS = /** @type {const} */ (["", "info", "warning", "error"]);
const SEARCH_PAUSE_MS = 250;

/** @param {string|null} taskId the training; null: the server's own log */
export function logPanel(taskId) {
  const log = new LogLines(taskId);
  const [finds, errors] = [new LogSearch(taskId), new LogSearch(taskId)];
  let isFollowing = true;
  let isPaused = false;
  let isWrapped = recall("log-wrap", "") === "1";
  /** Lines received while paused, and the offset after them. @type {API.LogLine[]} */
  let held = [];
  let heldNext = 0;
  let isScheduled = false;
  let shift = 0;

  const rows = new Rows(onScroll);
  rows.isMarked = (line) => finds.marks.get(line.offset) ?? null;
  const input = h("input.input", {
    type: "search",
    placeholder: t("log.search"),
    "aria-label": t("log.search"),
    maxlength: 1000,
    data: { search: "" },
  });
  const isRegex = h("input", { type: "checkbox" });
  const found = h("span.soft.small.finds", { "aria-live": "polite" });
  const state = h("span.faint.small", { "aria-live": "off" });
  const newer = h("button.button.small.newer", { hidden: true, on: { click: () => follow(true) } });
  /**
   * @param {WordKey} key @param {import("../../ui/icons.js").IconName} sign @param {() => void} run @param {WordKey} label
   */
  const button = (key, sign, run, label) =>
    h("button.button.small", { title: t(key), "aria-label": t(key), on: { click: run } }, icon(sign), t(label));
  const followButton = button("log.follow", "follow", () => follow(!isFollowing), "log.follow.short");
  const wrapButton = button("log.wrap", "wrap", () => wrap(!isWrapped), "log.wrap.short");
  const pauseButton = button(
    "log.pause",
    "pause",
    () => (isPaused && isFollowing ? follow(true) : pause(!isPaused)),
    "log.pause.short",
  );
  const levels = segments(
    t("log.level"),
    LEVELS.map((value) => ({ value, label: t(`level.${value || "all"}`) })),
    "",
    (level) => attempt(() => setLevel(level)),
  );
  const none = h("div.log-none.faint.small");

  const element = h(
    "section.panel.log-panel",
    { "aria-label": t("log") },
    h(
      "header",
      h("h2", t("log")),
      state,
      h(
        "div.tools",
        levels.element,
        button("log.error.previous", "up", () => toError(-1), "log.error.previous.short"),
        button("log.error.next", "chevron", () => toError(1), "log.error.next.short"),
        wrapButton,
        pauseButton,
        followButton,
        taskId !== null &&
          h(
            "a.button.small",
            {
              href: logDownloadURL(taskId),
              download: `${taskId}.log`,
              title: t("log.download"),
              "aria-label": t("log.download"),
            },
            icon("down"),
            t("download"),
          ),
      ),
    ),
    h(
      "div.log-tools",
      h("div.search.grow", icon("search"), input),
      h("label.check", { title: t("log.regex.title") }, isRegex, t("log.regex")),
      found,
      button("log.find.previous", "up", () => toFind(-1), "previous"),
      button("log.find.next", "chevron", () => toFind(1), "next"),
    ),
    h("div.log-body", rows.element, none, newer),
  );

  function draw() {
    isScheduled = false;
    const lines = log.partial ? [...log.lines, log.partial] : log.lines;
    rows.show(lines, isFollowing && log.isLive, shift);
    shift = 0;
    none.hidden = lines.length > 0;
    setText(none, t(log.level ? "log.none.level" : "log.none"));
    setText(state, log.end > 0 ? t("log.size", { size: bytes(log.end - log.first), lines: count(log.total) }) : "");
    newer.hidden = isFollowing && log.isLive && !held.length;
    setText(newer, isPaused && held.length ? t("log.held", { n: count(held.length) }) : t("log.newest"));
    setAttribute(followButton, "aria-pressed", String(isFollowing && !isPaused));
    setAttribute(pauseButton, "aria-pressed", String(isPaused));
  }

  function drawSoon() {
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(draw);
  }

  /** @param {boolean} wanted */
  function wrap(wanted) {
    isWrapped = wanted;
    remember("log-wrap", wanted ? "1" : "");
    setAttribute(wrapButton, "aria-pressed", String(wanted));
    rows.wrap(wanted);
  }

  /** @param {boolean} wanted */
  async function follow(wanted) {
    isFollowing = wanted;
    if (wanted) {
      pause(false);
      if (!log.isLive) await attempt(() => log.loadTail());
    }
    drawSoon();
  }

  /** @param {boolean} wanted */
  function pause(wanted) {
    isPaused = wanted;
    if (!isPaused && held.length) {
      add(held, heldNext);
      held = [];
    }
    drawSoon();
  }

  /** @param {API.LogLine[]} lines @param {number} next */
  function add(lines, next) {
    const dropped = log.append(lines, next, isFollowing ? MAX_FOLLOWED : undefined);
    if (!isFollowing) shift -= dropped;
    drawSoon();
  }

  /**
   * Scrolling up stops following; scrolling to the end continues it.
   * @param {{isUp: boolean, isAtEnd: boolean, isAtStart: boolean}} options
   */
  function onScroll({ isUp, isAtEnd, isAtStart }) {
    const wanted = !isUp && isAtEnd && log.isLive;
    if (isFollowing !== wanted && (isUp || wanted)) {
      isFollowing = wanted;
      drawSoon();
    }
    if (isUp && isAtStart && log.hasOlder) older();
    else if (isAtEnd && !log.isLive) log.loadNewer().then(drawSoon, () => {});
  }

  async function older() {
    const came = await log.loadOlder().catch(() => 0);
    shift += came;
    if (came) drawSoon();
  }

  /** Loads lines missed while disconnected; if there are too many, only the last ones. */
  async function catchUp() {
    for (let round = 0; round < 4; round += 1) {
      await log.loadNewer();
      if (log.isLive) return;
    }
    await log.loadTail();
  }

  /** @param {API.LogLevel|""} level */
  async function setLevel(level) {
    log.level = level;
    await log.loadTail();
    isFollowing = true;
    drawSoon();
  }

  // Search

  let typing = 0;
  const search = () => {
    clearTimeout(typing);
    typing = setTimeout(runSearch, SEARCH_PAUSE_MS);
  };
  input.addEventListener("input", search);
  isRegex.addEventListener("change", search);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    toFind(event.shiftKey ? -1 : 1);
  });

  async function runSearch() {
    const text = input.value;
    input.classList.remove("wrong");
    if (!text) {
      finds.clear();
      setText(found, "");
      return rows.redraw();
    }
    try {
      await finds.run({ [isRegex.checked ? "regex" : "keyword"]: text, ignore_case: "true", level: log.level });
      showMatches();
      rows.redraw();
      // Start with the newest match.
      if (finds.results.length && finds.at < 0) await reveal(finds.step(-1));
      showMatches();
    } catch (error) {
      if (!(error instanceof Error) || error.name === "AbortError") return;
      input.classList.add("wrong");
      setText(found, refusalText(error));
    }
  }

  function showMatches() {
    const { length } = finds.results;
    const total = count(length) + (finds.isComplete ? "" : "+");
    setText(
      found,
      length
        ? finds.at < 0
          ? t("log.matches", { n: total })
          : `${count(finds.at + 1)} / ${total}`
        : t("log.matches.none"),
    );
  }

  /** @param {number} by */
  async function toFind(by) {
    if (input.value && !finds.results.length) await runSearch();
    else await reveal(finds.step(by));
    showMatches();
  }

  /** @param {number} by */
  async function toError(by) {
    const from = rows.current ?? (by > 0 ? -1 : Infinity);
    await attempt(async () => {
      const at = errors.results[errors.at];
      await errors.run({ regex: ".", level: "error" });
      const error = errors.step(by, at?.offset ?? from);
      if (error) await reveal(error);
      else setText(found, t("log.errors.none"));
    });
  }

  /** @param {API.SearchHit|null} find */
  async function reveal(find) {
    if (!find) return;
    isFollowing = false;
    const indexOf = () => log.lines.findIndex((line) => line.offset === find.offset);
    if (indexOf() < 0) {
      await attempt(() => log.loadAround(find.offset));
      draw();
    }
    const index = indexOf();
    if (index >= 0) rows.reveal(index);
    drawSoon();
  }

  wrap(isWrapped);
  return {
    element,
    /** The offset at which the stream continues. */
    get next() {
      return log.isLive ? log.next : log.end;
    },
    /** Loads the newest lines at first, later those missed while disconnected. */
    async refetch() {
      if (!log.isLoaded) await log.loadTail();
      else if (log.isLive) await catchUp();
      drawSoon();
    },
    /** @param {API.Messages["log"]} message */
    add({ logs, next_offset: next }) {
      if (isPaused && held.length + logs.length > MAX_FOLLOWED) {
        // They are loaded again when needed.
        held = [];
        log.isLive = false;
      }
      // Without the newest lines, nothing is appended.
      if (!isPaused || !log.isLive) return add(logs, next);
      held.push(...logs);
      heldNext = next;
      drawSoon();
    },
    /** @param {API.LogLine} line */
    setPartial(line) {
      if (isPaused) return;
      log.setPartial(line);
      drawSoon();
    },
    follow: () => follow(!isFollowing),
    toError,
    close: () => rows.close(),
  };
}

const MAX_COUNT = 1000;

class LogSearch {
  /** @type {AbortController|null} */
  #abort = null;
  /** @type {API.SearchHit[]} */
  results = [];
  at = -1;
  isComplete = true;
  /** Match positions in lines, by offset. @type {Map<number, [from: number, to: number]>} */
  marks = new Map();

  /** @param {string|null} taskId */
  constructor(taskId) {
    this.taskId = taskId;
  }

  clear() {
    this.#abort?.abort();
    this.results = [];
    this.marks = new Map();
    this.at = -1;
    this.isComplete = true;
  }

  /** @param {{keyword?: string, regex?: string, level?: string, ignore_case?: string}} values */
  async run(values) {
    this.clear();
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const found = await api.searchLogs(this.taskId, { ...values, limit: MAX_COUNT }, signal);
    if (signal.aborted) return;
    this.results = found.results;
    this.isComplete = found.complete;
    for (const { offset, match_start: from, match_end: to } of found.results) {
      if (from !== null && to !== null && to > from) this.marks.set(offset, [from, to]);
    }
  }

  /**
   * The next or previous match; at first the one nearest to an offset.
   * @param {number} by @param {number|null} [offset]
   */
  step(by, offset = null) {
    const { length } = this.results;
    if (!length) return null;
    if (this.at < 0 && offset !== null) {
      const after = this.results.findIndex((each) => each.offset > offset);
      this.at = by > 0 ? Math.max(0, after) : (after < 0 ? length : after) - 1;
      if (this.at < 0) this.at = length - 1;
    } else this.at = (this.at + by + length) % length;
    return this.results[this.at];
  }
}
