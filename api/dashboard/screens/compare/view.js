// The comparison of two to eight trainings: figures, curves, settings and samples. The address stores all choices.

import { api, Refused } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { refusalText } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { storeQuery } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { backLink } from "../../ui/sections.js";
import { loading } from "../../ui/states.js";
import { isFinished, note } from "../../ui/status.js";
import { attempt } from "../../ui/toast.js";
import { curvesView, metricsOf } from "./curves.js";
import { samplesView } from "./samples.js";
import { LEAST, PATH, readWanted, writeWanted } from "./state.js";
import { figuresView, settingsView } from "./tables.js";

/** Most values of a curve: wider screens show no more. */
const LIMIT = 600;
/** Running trainings report each step; curves follow at this pace. */
const FOLLOW_MS = 4000;
const SOON_MS = 300;

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} first
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, first) {
  const wanted = readWanted(first.query);
  let requests = 0;
  const state = h("div", { "aria-live": "polite" });
  const add = h(
    "button.button",
    { type: "button", on: { click: () => attempt(choose) } },
    icon("list"),
    t("compare.add"),
  );
  const [figures, curves, settings, samples] = [
    figuresView((id) => replace(wanted.tasks.filter((each) => each !== id))),
    curvesView(wanted, apply),
    settingsView(wanted, apply),
    samplesView(wanted, apply),
  ];
  const body = h("div.task-body", { hidden: true }, figures.element, curves.element, settings.element, samples.element);
  const element = h(
    "div.screen.compare",
    h(
      "header.task-head",
      backLink("#/trainings", t("tasks")),
      h("div.screen-head", h("h1", t("compare.title")), h("div.tools", add)),
    ),
    state,
    body,
  );

  // The address has every choice from the beginning, so that it can be passed on.
  const store = () => wanted.tasks.length > 0 && storeQuery(PATH, writeWanted(wanted));
  store();

  /** @param {Partial<typeof wanted>} change */
  function apply(change) {
    Object.assign(wanted, change);
    store();
    if (!("metric" in change || "axis" in change)) return;
    // Positions of samples are those of the axis.
    if ("axis" in change && wanted.at !== null) apply({ at: null });
    attempt(refetch);
  }

  /** Compares other trainings. @param {string[]} tasks */
  function replace(tasks) {
    const hidden = [...wanted.hidden].filter((id) => tasks.includes(id));
    apply({ tasks, hidden: new Set(hidden) });
    attempt(refetch);
  }

  async function choose() {
    const { askTrainings } = await import("./choose.js");
    const tasks = await askTrainings(wanted.tasks);
    if (tasks) replace(tasks);
  }

  /** @param {...Child} content */
  function showOnly(...content) {
    body.hidden = true;
    fill(state, content);
  }

  async function refetch() {
    if (wanted.tasks.length < LEAST) return showOnly(nothing(choose));
    if (body.hidden) showOnly(loading());
    requests += 1;
    const own = requests;
    const asked = { tasks: wanted.tasks.join(","), metric: metricsOf(wanted).join(","), axis: wanted.axis };
    let found;
    try {
      found = await api.compare({ ...asked, limit: LIMIT, all_settings: "true" });
    } catch (error) {
      if (!(error instanceof Refused) || ![404, 422].includes(error.status)) throw error;
      if (own === requests) showOnly(refused(error, choose));
      return;
    }
    if (own !== requests) return;
    fill(state);
    body.hidden = false;
    for (const part of [figures, curves, settings, samples]) part.update(found);
    app.retitle();
  }

  const refetchOrRetry = () => refetch().catch(() => app.stream.retry());
  const [follow, refetchSoon] = [soon(refetchOrRetry, FOLLOW_MS), soon(refetchOrRetry, SOON_MS)];
  const concerns = (/** @type {string} */ id) => wanted.tasks.includes(id);

  return {
    element,
    title: () => t("compare.title"),
    topics: "gpu,task,system",
    on: {
      progress: ({ task_id: id, status }) => {
        if (concerns(id) && !isFinished(status)) follow();
      },
      status: ({ task_id: id }) => {
        if (concerns(id)) refetchSoon();
      },
    },
    refetch,
    turn({ query }) {
      Object.assign(wanted, readWanted(query));
      store();
      refetchSoon();
    },
    close() {
      follow.cancel();
      refetchSoon.cancel();
      requests += 1;
      curves.close();
    },
  };
}

/** @param {() => unknown} choose */
function nothing(choose) {
  return h(
    "section.panel",
    h(
      "div.empty",
      icon("list"),
      h("p", t("compare.none")),
      h("button.button.primary", { type: "button", on: { click: () => attempt(choose) } }, t("compare.choose")),
    ),
  );
}

/** @param {Refused} error @param {() => unknown} choose */
function refused(error, choose) {
  return note(
    "bad",
    h("p.foreign", refusalText(error)),
    h("p", h("button.button.small", { type: "button", on: { click: () => attempt(choose) } }, t("compare.choose"))),
  );
}
