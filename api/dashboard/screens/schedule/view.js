// The hours in which trainings may run: a week's calendar, and the windows to edit.

import { whyNot } from "../../app/access.js";
import { api } from "../../app/api.js";
import { schedules } from "../../app/api_schedule.js";
import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { fill, h, setText } from "../../ui/dom.js";
import { field, suggestions, textInput } from "../../ui/fields.js";
import { weekdayTime } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { panel } from "../../ui/panel.js";
import { sections } from "../../ui/sections.js";
import { attempt, toast } from "../../ui/toast.js";
import { past } from "./past.js";
import { DAYS, week } from "./week.js";

const REFETCH_MS = 60_000;
/** Statuses whose tasks the calendar shows. */
const SHOWN = "running,starting,stopping,queued";

/** @returns {import("../../app/main.js").Screen} */
export function open() {
  const calendar = week();
  const history = past();
  const [state, unknown] = [h("p"), h("p.finding-text", { role: "status" })];
  const unsaved = h("p.small", { role: "status", hidden: true }, t("schedule.unsaved"));
  const zone = textInput({ id: "schedule-zone", list: "schedule-zones", maxlength: 64, required: true });
  const windows = h("ul.windows");
  const why = whyNot("system:write");
  const form = h(
    "form.stack",
    { on: { submit: save, input: preview } },
    h("fieldset.stack", { disabled: why !== null }, [
      field(t("schedule.zone"), zone),
      h("datalist", { id: "schedule-zones" }, suggestions(Intl.supportedValuesOf("timeZone"))),
      windows,
      h("div.choices", [
        h("button.button", { type: "button", on: { click: () => add() } }, icon("plus"), t("schedule.add")),
        h("button.button.primary", { type: "submit" }, t("save")),
      ]),
    ]),
    why && h("p.soft.small", why),
  );
  let isEdited = false;
  const unwatch = machine.watch((snapshot) => calendar.setGPUs(snapshot?.gpus ?? []));
  const ticking = setInterval(() => document.hidden || refetch().catch(() => {}), REFETCH_MS);

  /** @param {API.ScheduleWindow} [window] */
  function add(window = { days: DAYS.slice(0, 5), begins: "22:00", ends: "07:00", gpus: null }) {
    windows.append(windowRow(window, preview));
    preview();
  }

  function written() {
    return { time_zone: zone.value.trim(), windows: [...windows.children].map(readWindow) };
  }

  function preview() {
    isEdited = true;
    unsaved.hidden = false;
    calendar.setWindows(written().windows);
  }

  /** @param {Event} event */
  async function save(event) {
    event.preventDefault();
    await attempt(async () => {
      draw(await schedules.replace(written()));
      toast("ok", t("schedule.saved"));
    });
  }

  /** @param {API.Schedule} schedule */
  function draw(schedule) {
    isEdited = false;
    unsaved.hidden = true;
    zone.value = schedule.time_zone;
    fill(
      windows,
      schedule.windows.map((window) => windowRow(window, preview)),
    );
    calendar.setWindows(schedule.windows);
    calendar.setZone(schedule.time_zone);
    history.setSchedule(schedule);
    setText(state, sentence(schedule));
    const names = schedule.unknown_gpus.join(", ");
    setText(unknown, names && t("schedule.unknown", { names }));
  }

  async function refetch() {
    const [schedule, { tasks }] = await Promise.all([schedules.get(), api.tasks({ status: SHOWN, limit: 50 })]);
    calendar.setTasks(tasks);
    if (isEdited) setText(state, sentence(schedule));
    else draw(schedule);
    await history.refetch();
  }

  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.settings")), sections("settings", "#/settings/schedule")),
      panel("", t("schedule"), null, h("div.body.stack", state, unknown, unsaved, calendar.element)),
      history.element,
      panel(
        "",
        t("schedule.windows"),
        null,
        h("div.body.stack", h("p.soft.small", t("schedule.text"), " ", t("schedule.gpus.hint")), form),
      ),
    ),
    title: () => t("schedule"),
    topics: "gpu,system",
    on: {},
    refetch,
    close() {
      unwatch();
      clearInterval(ticking);
    },
  };
}

/** @param {API.Schedule} schedule */
function sentence({ windows, is_open, next_open, next_close }) {
  if (windows.length === 0) return t("schedule.always");
  if (is_open) return next_close ? t("schedule.open", { until: weekdayTime(next_close) }) : t("schedule.open.some");
  return next_open ? t("schedule.closed", { until: weekdayTime(next_open) }) : t("schedule.never");
}

let rows = 0;

/** @param {API.ScheduleWindow} window @param {() => void} changed */
function windowRow({ days, begins, ends, gpus }, changed) {
  rows += 1;
  const own = `window-${rows}`;
  const row = h(
    "li.window",
    h(
      "fieldset.days",
      { "aria-label": t("schedule.days") },
      DAYS.map((day) =>
        h("label.check", h("input", { type: "checkbox", value: day, checked: days.includes(day) }), t(`day.${day}`)),
      ),
    ),
    field(t("schedule.begins"), h("input.input", { id: `${own}-begins`, type: "time", value: begins, required: true })),
    field(t("schedule.ends"), h("input.input", { id: `${own}-ends`, type: "time", value: ends, required: true })),
    field(
      t("gpus"),
      textInput({
        id: `${own}-gpus`,
        value: (gpus ?? []).join(", "),
        placeholder: t("schedule.all"),
        title: t("schedule.gpus.hint"),
      }),
    ),
    h(
      "button.button.small",
      {
        type: "button",
        "aria-label": t("remove"),
        on: {
          click() {
            const near = row.nextElementSibling ?? row.previousElementSibling ?? row.parentElement?.nextElementSibling;
            row.remove();
            changed();
            near?.querySelector("button")?.focus();
          },
        },
      },
      icon("cross"),
    ),
  );
  return row;
}

/** @param {Element} row @returns {API.ScheduleWindow} */
function readWindow(row) {
  const [begins, ends, gpus] = [...row.querySelectorAll("input.input")].map((input) =>
    input instanceof HTMLInputElement ? input.value.trim() : "",
  );
  const chosen = [...row.querySelectorAll("input[type=checkbox]")].filter(
    (box) => box instanceof HTMLInputElement && box.checked,
  );
  const names = gpus.split(/[,，\s]+/).filter(Boolean);
  return {
    days: DAYS.filter((day) => chosen.some((box) => box instanceof HTMLInputElement && box.value === day)),
    begins,
    ends,
    gpus: names.length > 0 ? names : null,
  };
}
