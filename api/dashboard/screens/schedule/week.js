// A week as a calendar: the hours in which trainings may run, what runs, and what is planned.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { gpuName } from "../../ui/gpus.js";

/** @type {API.Day[]} */
export const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

export const MINUTES = 24 * 60;
const HOURS = [0, 6, 12, 18];
/** The length of a bar whose end is unknown. */
const UNKNOWN_SECONDS = 3600;

/** A part of a day. @typedef {{day: number, from: number, to: number}} Span */

/** The calendar of the next seven days, beginning today. */
export function week() {
  const element = h("div.week", { role: "img", "aria-label": t("schedule.week") });
  /** @type {readonly API.ScheduleWindow[]} */
  let windows = [];
  /** @type {readonly API.Row[]} */
  let tasks = [];
  /** @type {readonly API.GPU[]} */
  let gpus = [];
  let zone = "UTC";

  function draw() {
    const now = inZone(new Date(), zone);
    const order = DAYS.map((_, i) => (now.day + i) % 7);
    const open = windows.length === 0 ? DAYS.map((_, day) => ({ day, from: 0, to: MINUTES })) : windows.flatMap(spans);
    const claims = gpus.flatMap((gpu) => gpu.claims.flatMap((claim) => claimSpans(gpu, claim, zone)));
    const planned = [...tasks.flatMap((task) => taskSpans(task, zone)), ...claims];
    fill(element, [
      h("div.week-hours", { "aria-hidden": "true" }, [HOURS.map((hour) => placed(h("span", `${hour}:00`), hour * 60))]),
      order.map((day, i) =>
        h("div.week-day", [
          h("span.week-name", i === 0 ? t("schedule.today") : t(`day.${DAYS[day]}`)),
          h("div.week-line", [
            open.filter((span) => span.day === day).map((span) => bar("open", span)),
            planned
              .filter((span) => span.day === day && span.order === i)
              .map((span) => bar(span.kind, span, span.name)),
            i === 0 && placed(h("i.week-now"), now.minute),
          ]),
        ]),
      ),
      h("p.week-legend.small.soft", [
        h("span", h("i.week-key", { data: { kind: "open" } }), t("schedule.legend.open")),
        h("span", h("i.week-key", { data: { kind: "runs" } }), t("schedule.legend.runs")),
        h("span", h("i.week-key", { data: { kind: "planned" } }), t("schedule.legend.planned")),
        claims.length > 0 &&
          h("span", h("i.week-key", { data: { kind: "claim" } }), t("schedule.legend.claim", { names: names(claims) })),
      ]),
    ]);
  }

  draw();
  return {
    element,
    /** @param {readonly API.ScheduleWindow[]} now */
    setWindows(now) {
      windows = now;
      draw();
    },
    /** @param {readonly API.Row[]} now */
    setTasks(now) {
      tasks = now;
      draw();
    },
    /** Shows the claims on these GPUs. @param {readonly API.GPU[]} now */
    setGPUs(now) {
      gpus = now;
      draw();
    },
    /** @param {string} now */
    setZone(now) {
      zone = now;
      draw();
    },
  };
}

/** @param {string} kind @param {{from: number, to: number}} span @param {string} [name] */
export const bar = (kind, { from, to }, name) =>
  placed(h("span.week-bar", { data: { kind }, title: name }, name), from, to);

/** Places an element on the line of a day. @param {HTMLElement} element @param {number} from @param {number} [to] */
export function placed(element, from, to) {
  element.style.left = `${(from / MINUTES) * 100}%`;
  if (to !== undefined) element.style.width = `${((to - from) / MINUTES) * 100}%`;
  return element;
}

/** The parts of the week that a window covers. @param {API.ScheduleWindow} window @returns {Span[]} */
export function spans({ days, begins, ends }) {
  const [from, to] = [minutes(begins), minutes(ends)];
  return days.flatMap((name) => {
    const day = DAYS.indexOf(name);
    if (to > from) return [{ day, from, to }];
    return [
      { day, from, to: MINUTES },
      { day: (day + 1) % 7, from: 0, to },
    ];
  });
}

/** @param {string} text such as 22:00 */
const minutes = (text) => {
  const [hour, minute] = text.split(":").map(Number);
  return (hour || 0) * 60 + (minute || 0);
};

/** @param {API.Row} task @param {string} zone */
function taskSpans(task, zone) {
  const isQueued = task.status === "queued";
  const begins = isQueued ? task.estimated_start : task.started_at;
  if (!begins) return [];
  const now = Date.now();
  const start = Math.max(Date.parse(begins), startOfDay(now, zone));
  const seconds = isQueued ? null : task.progress.eta_seconds;
  const from = isQueued ? start : now;
  const end = from + (seconds ?? UNKNOWN_SECONDS) * 1000;
  return timeSpans(start, end, zone, isQueued ? "planned" : "runs", task.name ?? task.task_id);
}

/** @param {API.GPU} gpu @param {API.GPUClaim} claim @param {string} zone */
const claimSpans = (gpu, { name, expires_at: until }, zone) =>
  timeSpans(Date.now(), Date.parse(until), zone, "claim", `${gpuName(gpu.gpu_id)}: ${name}`);

/** @param {readonly {name: string}[]} shown */
const names = (shown) => [...new Set(shown.map(({ name }) => name))].join(", ");

/** A time as bars of the calendar's days. @param {number} start @param {number} last @param {string} zone @param {string} kind @param {string} name */
function timeSpans(start, last, zone, kind, name) {
  const now = Date.now();
  const end = Math.min(last, now + 6 * MINUTES * 60_000);
  const found = [];
  for (let at = start; at < end; ) {
    const place = inZone(new Date(at), zone);
    const rest = Math.min((MINUTES - place.minute) * 60_000, end - at);
    const to = Math.min(MINUTES, Math.max(place.minute + 12, place.minute + rest / 60_000));
    const order = Math.round((at - startOfDay(now, zone)) / (MINUTES * 60_000) - 0.5);
    found.push({
      day: place.day,
      order: Math.max(0, order),
      from: place.minute,
      to,
      kind,
      name,
    });
    at += Math.max(rest, 60_000);
  }
  return found;
}

/** @param {number} at @param {string} zone */
const startOfDay = (at, zone) => at - inZone(new Date(at), zone).minute * 60_000;

/** @param {Date} at @param {string} zone */
export function inZone(at, zone) {
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).formatToParts(at);
  const part = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return {
    day: DAYS.indexOf(/** @type {typeof DAYS[number]} */ (part.weekday.toLowerCase())),
    minute: Number(part.hour) * 60 + Number(part.minute),
  };
}
