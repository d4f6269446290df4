// What happened on the GPUs in a day: which training had which one when, and why it left.

import { api } from "../../app/api.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { now } from "../../app/machine.js";
import { taskAddress } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { count, duration, isKnown, locale, seconds } from "../../ui/format.js";
import { gpuName, gpuNames } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { pages } from "../../ui/pager.js";
import { panel } from "../../ui/panel.js";
import { time } from "../../ui/time.js";
import { waitingText } from "../../ui/waiting.js";
import { bar, inZone, MINUTES, placed, spans } from "./week.js";

const DAY = 86_400;
const STEP = 900;
/** Trainings whose attempts are read. */
const MOST = 50;

/** An attempt of a training. @typedef {{task: API.Task, attempt: API.Attempt, from: number, to: number}} Run */

export function past() {
  const { foot, update: showPage } = pages();
  const [range, list, lines] = [h("span.soft.small"), h("ol.past-list"), h("div.week")];
  const later = h(
    "button.button.small",
    { type: "button", on: { click: () => turn(-1) } },
    t("past.later"),
    icon("right"),
  );
  const element = panel(
    "past",
    t("past"),
    h("div.tools", [
      range,
      h("button.button.small", { type: "button", on: { click: () => turn(1) } }, icon("left"), t("past.earlier")),
      later,
    ]),
    h("div.body.stack", lines, list),
    foot,
  );
  /** Details by id, as they were at the task's last change. @type {Map<string, API.Task>} */
  const known = new Map();
  /** @type {API.ScheduleWindow[]} */
  let windows = [];
  let [zone, daysAgo] = ["UTC", 0];

  /** @param {number} by */
  function turn(by) {
    daysAgo += by;
    refetch().catch(() => {});
  }

  async function refetch() {
    const end = now() - daysAgo * DAY;
    const [latest, open] = await Promise.all([
      api.tasks({ limit: MOST }),
      api.tasks({ status: "running,starting,stopping,queued", limit: MOST }),
    ]);
    const rows = new Map([...latest.tasks, ...open.tasks].map((row) => [row.task_id, row]));
    const then = [...rows.values()].filter(
      ({ started_at: began, finished_at: ended }) =>
        (seconds(began) ?? end) < end && (seconds(ended) ?? end) > end - DAY,
    );
    for (const { task_id: id, updated_at: at } of then)
      if (known.get(id)?.updated_at !== at) known.set(id, await api.task(id));
    const runs = then.flatMap(({ task_id: id }) => runsOf(known.get(id), end));
    runs.sort((a, b) => a.from - b.from);
    draw(runs, daysAgo ? [] : open.tasks.filter(({ status }) => status === "queued"), end);
  }

  /** @param {Run[]} runs @param {API.Row[]} waiting @param {number} end */
  function draw(runs, waiting, end) {
    const show = new Intl.DateTimeFormat(locale, { timeZone: zone, dateStyle: "medium", timeStyle: "short" });
    range.textContent = show.formatRange(new Date((end - DAY) * 1000), new Date(end * 1000));
    later.disabled = daysAgo === 0;
    const gpus = [...new Set(runs.flatMap(({ attempt }) => attempt.gpu_ids))].sort((a, b) => a - b);
    const at = (/** @type {number} */ when) => Math.max(0, ((when - end + DAY) / DAY) * MINUTES);
    const [hours, open] = scale(end);
    fill(lines, [
      runs.length > 0 &&
        h(
          "div.week-hours",
          { "aria-hidden": "true" },
          hours.map(([when, text]) => placed(h("span", text), at(when))),
        ),
      gpus.map((gpu) =>
        h("div.week-day", { role: "img", "aria-label": gpuName(gpu) }, [
          h("span.week-name", gpuName(gpu)),
          h("div.week-line", [
            open.map(([from, to]) => bar("open", { from: at(from), to: at(to) })),
            runs
              .filter(({ attempt }) => attempt.gpu_ids.includes(gpu))
              .map(({ task, from, to }) => bar("runs", { from: at(from), to: at(to) }, task.name ?? task.task_id)),
          ]),
        ]),
      ),
    ]);
    const items = [...runs.map(runItem), ...waiting.map(waitingItem)];
    if (items.length === 0) items.push(h("li.soft", t("past.none")));
    showPage(items, (shown) => fill(list, shown));
  }

  /** The labels of the hours before `end`, and the times in which trainings may run by the present schedule. @param {number} end */
  function scale(end) {
    const open = windows.flatMap(spans);
    /** @type {[[number, string][], [number, number][]]} */
    const [hours, times] = [[], []];
    for (let at = Math.ceil((end - DAY) / STEP) * STEP; at < end; at += STEP) {
      const { day, minute } = inZone(new Date(at * 1000), zone);
      if (minute % 360 < STEP / 60 && end - at > STEP * 4) hours.push([at, `${Math.floor(minute / 60)}:00`]);
      if (windows.length > 0 && !open.some((span) => span.day === day && span.from <= minute && minute < span.to))
        continue;
      const last = times.at(-1);
      if (last?.[1] === at) last[1] = Math.min(end, at + STEP);
      else times.push([at, Math.min(end, at + STEP)]);
    }
    return /** @type {const} */ ([hours, times]);
  }

  /** @param {string|null} iso */
  const clock = (iso) =>
    new Intl.DateTimeFormat(locale, { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(
      new Date(iso ?? Date.now()),
    );

  /** @param {Run} run */
  function runItem({ task, attempt, from, to }) {
    const { first_step: first, last_step: last, failure } = attempt;
    const steps = isKnown(first) && `${t("steps.range")} ${count(first)} – ${count(last)}`;
    const facts = [gpuNames(attempt.gpu_ids), duration(to - from), steps].filter(Boolean).join(" · ");
    const tone = failure ? "warn" : attempt.ended_at ? "idle" : "ok";
    const ended = attempt.ended_at ? time(attempt.ended_at, clock) : t("past.now");
    return item([time(attempt.started_at, clock), " – ", ended], tone, task, facts, whyItEnded(task, attempt));
  }

  /** @param {API.Row} task */
  const waitingItem = (task) =>
    item(
      t("past.now"),
      "idle",
      task,
      labelFor("task", task.status),
      waitingText(task.waiting_reason, task.waiting_reason_code),
    );

  /** @param {Child} times @param {string} tone @param {API.Row} task @param {string} facts @param {Child} why */
  const item = (times, tone, { task_id: id, name }, facts, why) =>
    h(
      "li",
      { data: { tone } },
      h("span.past-times", times),
      h(
        "div.grow",
        h("p", h("a.foreign", { href: taskAddress(id) }, name ?? id), " · ", facts),
        why && h("p.soft", why),
      ),
    );

  return {
    element,
    refetch,
    /** @param {API.Schedule} schedule */
    setSchedule(schedule) {
      windows = schedule.windows;
      zone = schedule.time_zone;
    },
  };
}

/** The attempts of the day before `end`. @param {API.Task|undefined} task @param {number} end @returns {Run[]} */
function runsOf(task, end) {
  return (task?.attempts ?? []).flatMap((attempt) => {
    const [from, to] = [seconds(attempt.started_at), seconds(attempt.ended_at) ?? now()];
    return task && from !== null && from < end && to > end - DAY
      ? [{ task, attempt, from, to: Math.min(to, end) }]
      : [];
  });
}

/** @param {API.Task} task @param {API.Attempt} attempt @returns {Child} */
function whyItEnded(task, { attempt, ended_at: ended, failure }) {
  if (failure) return translate(failure.detail, failure.detail_code);
  const isLast = task.attempts.at(-1)?.attempt === attempt;
  return labelFor("task", ended && !isLast ? "stopped" : task.status);
}
