// The timeline of a training: a band of statuses and stages with checkpoints, and the list of events.

import { labelFor, t, translate } from "../../app/i18n.js";
import { now } from "../../app/machine.js";
import { fill, h } from "../../ui/dom.js";
import { duration, seconds, utcTime } from "../../ui/format.js";
import { pages } from "../../ui/pager.js";
import { panel } from "../../ui/panel.js";
import { scrollable } from "../../ui/scroll.js";
import { isFinished } from "../../ui/status.js";
import { time } from "../../ui/time.js";
import { attempt } from "../../ui/toast.js";

/** Colours by status or event type. @type {Record<string, string>} */
const TONES = { failed: "bad", stopping: "warn", warning: "warn", completed: "ok" };

/** A status or stage with its time range. @typedef {{name: string, label: string, isStage: boolean, from: number, to: number}} Stretch */

/** @param {API.TaskEvent[]} events @param {number} end @returns {Stretch[]} */
function stretches(events, end) {
  /** @type {Stretch[]} */
  const found = [];
  /** The present one; null before the first, and after an end until the training continues. @type {Stretch|null} */
  let last = null;
  for (const event of events) {
    if (event.type !== "status" && event.type !== "stage") continue;
    const at = seconds(event.timestamp) ?? end;
    const isRunning = event.type === "status" && event.current === "running";
    // The stage may have been found before the status, and says more.
    if (isRunning && last?.isStage) continue;
    if (last) last.to = at;
    last = null;
    if (event.type === "status" && isFinished(event.current)) continue;
    last = {
      name: event.current ?? "",
      label: event.type === "stage" || isRunning ? labelFor("stage", event.current) : labelFor("task", event.current),
      isStage: event.type === "stage",
      from: at,
      to: end,
    };
    found.push(last);
  }
  return found.filter(({ from, to }) => to > from);
}

/** Events of the first request and of each request for earlier ones. */
const PAGE = 500;
/** Events of the requests that look for new ones. */
const NEWS = 50;

/** @param {(values: API.Query) => Promise<API.TaskEventList>} ask */
export function timeline(ask) {
  /** Newest first. @type {API.TaskEvent[]} */
  let events = [];
  /** Leads to earlier events. @type {string|null} */
  let cursor = null;
  /** @type {API.Task|null} */
  let task = null;
  const band = h("div.band");
  const legend = h("div.legend.band-legend");
  const list = h("ol.event-list");
  const { foot, update: showPage } = pages();
  const earlier = h(
    "div.pager",
    h("button.button.small", { on: { click: () => attempt(loadEarlier) } }, t("timeline.earlier")),
  );
  const element = panel(
    "timeline",
    t("timeline"),
    null,
    h("div.body", band, legend, scrollable(h("div.table-scroll", list), list)),
    foot,
    earlier,
  );

  async function load() {
    const known = events[0]?.id;
    const limit = known ? NEWS : PAGE;
    const { events: newest, pagination } = await ask({ order: "newest", limit });
    const overlap = newest.findIndex(({ id }) => id === known);
    if (overlap >= 0) {
      events = [...newest.slice(0, overlap), ...events];
      return;
    }
    // The first events, or more new ones than were requested.
    events = newest;
    cursor = pagination.next_cursor ?? null;
  }

  async function loadEarlier() {
    const page = await ask({ order: "newest", limit: PAGE, cursor });
    events.push(...page.events);
    cursor = page.pagination.next_cursor ?? null;
    if (task) update(task);
  }

  /** @param {API.Task} next */
  function update(next) {
    task = next;
    const end = (isFinished(task.status) ? seconds(task.finished_at) : null) ?? now();
    const start = seconds(task.created_at) ?? end;
    const whole = Math.max(end - start, 1);
    const parts = stretches(events.toReversed(), end);
    // The events of deletions have no current checkpoint.
    const marks = events.filter((event) => event.type === "checkpoint" && event.current !== null);
    fill(
      band,
      parts.map((part) => {
        const piece = h("span", {
          class: `stretch stage-${part.name}`,
          title: `${part.label} · ${duration(part.to - part.from)}`,
        });
        piece.style.left = `${(100 * (part.from - start)) / whole}%`;
        piece.style.width = `${(100 * (part.to - part.from)) / whole}%`;
        return piece;
      }),
      marks.map((event) => {
        const text = translate(event.message, event.message_code);
        const tick = h("span.tick", { title: `${text} · ${utcTime(event.timestamp)}` });
        tick.style.left = `${Math.min(100, (100 * ((seconds(event.timestamp) ?? start) - start)) / whole)}%`;
        return tick;
      }),
    );
    fill(
      legend,
      sums(parts).map(({ name, label, length }) =>
        h("span", h("i", { class: `key stage-${name}` }), label, h("b", duration(length))),
      ),
      marks.length > 0 && h("span", h("i.key.tick"), t("checkpoints.n", { n: marks.length })),
    );
    showPage(events, (rows) => fill(list, rows.map(eventItem)));
    earlier.hidden = cursor === null;
  }

  return { element, load, update };
}

/** @param {API.TaskEvent} event */
const eventItem = (event) =>
  h(
    "li",
    { data: { tone: TONES[event.current ?? ""] ?? TONES[event.type] ?? "idle" } },
    time(event.timestamp),
    h(
      "div.grow",
      h("p.foreign", translate(event.message, event.message_code)),
      h(
        "p.faint.tiny",
        [labelFor("event", event.type), event.actor && labelFor("actor", event.actor)].filter(Boolean).join(" · "),
      ),
    ),
  );

/** Total duration of each status or stage. @param {Stretch[]} parts */
function sums(parts) {
  /** @type {Map<string, {name: string, label: string, length: number}>} */
  const by = new Map();
  for (const { name, label, from, to } of parts)
    by.set(name, { name, label, length: (by.get(name)?.length ?? 0) + to - from });
  return [...by.values()];
}
