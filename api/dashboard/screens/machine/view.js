// The machine screen: GPUs, their readings and tasks.

import { api } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { place, storeQuery } from "../../app/router.js";
import { recall, remember } from "../../app/settings.js";
import { fill, h, reconcile } from "../../ui/dom.js";
import { gpuKey } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { prose } from "../../ui/prose.js";
import { segments } from "../../ui/segments.js";
import { note } from "../../ui/status.js";
import { askActive, TaskList } from "../tasks/list.js";
import { gpuCard } from "./card.js";
import { eventTable } from "./events.js";
import { fleet } from "./fleet.js";
import { rangeChoice } from "./range.js";
import { summary } from "./summary.js";
import { gpuTile } from "./tile.js";

// More cards than this do not fit on a screen.
const MANY = 12;
const DENSITIES = /** @type {const} */ (["cards", "tiles"]);
/** @type {API.GPUStatus[]} */
const ORDER = ["training", "preprocessing", "busy", "draining", "available", "unknown", "lost"];

/** Events that change the lists below the GPUs. */
const LISTED = ["status", "change", "stop"];
const TASKS = 6;
const EVENTS = 12;
const PAUSE_MS = 250;

/** @param {import("../../app/main.js").App} app @returns {import("../../app/main.js").Screen} */
export function open(app) {
  const tasks = new TaskList({
    title: t("tasks.active"),
    limit: TASKS,
    ask: askActive,
    empty: () => h("p", { class: "none faint small" }, t("tasks.none.active")),
    changed: () => refetchSoon(),
  });
  const events = h("div", { class: "body" });

  async function refetch() {
    const [happened] = await Promise.all([api.gpuEvents({ limit: EVENTS }), tasks.refetch(), figures.refresh()]);
    fill(events, eventTable(happened.events, true));
  }

  const refetchSoon = soon(() => refetch().catch(() => app.stream.retry()), PAUSE_MS);

  const figures = summary();
  const grid = h("section", { class: "gpu-grid", "aria-label": t("gpus") });
  const problem = h("div");
  let chosen = place().query.get("node") ?? "";
  const nodes = fleet((node) => {
    chosen = node;
    storeQuery("/", { node });
    redraw();
  });
  /** @type {Map<string|number|null, import("../../ui/dom.js").Part<API.GPU>>} */
  const parts = new Map();
  let density = recall("density", "auto");
  let drawnAs = "";
  let statuses = "";

  const range = rangeChoice(redraw);
  const densities = segments(
    t("density"),
    DENSITIES.map((value) => ({ value, label: icon(value === "cards" ? "rows" : "tiles") })),
    "",
    (value) => {
      density = value;
      remember("density", value);
      redraw();
    },
  );
  for (const [i, value] of DENSITIES.entries()) densities.buttons[i].setAttribute("aria-label", t(`density.${value}`));
  const counts = h("p", { class: "soft small", "aria-live": "polite" });

  function redraw() {
    drawnAs = "";
    if (machine.value) draw(machine.value);
  }

  /** @param {API.Snapshot|null} snapshot */
  function draw(snapshot) {
    if (!snapshot) return;
    const all = snapshot.gpus;
    const grouped = nodes.update(snapshot, chosen, density, range.value);
    if (grouped) densities.select(grouped === "cards" ? "cards" : grouped === "tiles" ? "tiles" : "");
    // A single machine is not grouped.
    const gpus = grouped ? [] : all;
    grid.hidden = grouped !== null;
    const isDense = density === "tiles" || (density !== "cards" && gpus.length > MANY);
    const form = `${isDense} ${range.value}`;
    if (form !== drawnAs) {
      for (const part of parts.values()) part.close?.();
      parts.clear();
      grid.textContent = "";
      drawnAs = form;
      grid.classList.toggle("dense", isDense);
      if (!grouped) densities.select(isDense ? "tiles" : "cards");
    }
    reconcile(grid, parts, gpus, gpuKey, (gpu) => (isDense ? gpuTile(gpu, range.value) : gpuCard(gpu, range.value)));
    figures.update(snapshot);
    fill(
      problem,
      snapshot.source_problem &&
        note(
          "bad",
          h("strong", {}, t("driver.problem")),
          h("p", {}, prose(translate(snapshot.source_problem, snapshot.source_problem_code))),
        ),
      !all.length && nothing(),
    );
    counts.textContent = showCounts(all);
    const now = all.map(({ status }) => status).join();
    if (statuses && statuses !== now) refetchSoon();
    statuses = now;
  }

  const element = h(
    "div",
    { class: "screen" },
    h(
      "div",
      { class: "screen-head" },
      h("h1", {}, t("machine")),
      counts,
      nodes.tools,
      h("div", { class: "tools" }, range.element, densities.element),
    ),
    figures.element,
    problem,
    grid,
    nodes.element,
    h(
      "div",
      { class: "machine-below" },
      tasks.element,
      h("section", { class: "panel", "aria-label": t("events") }, h("header", {}, h("h2", {}, t("events"))), events),
    ),
  );
  const unwatch = machine.watch(draw);
  // Update ages and charts while no data arrives.
  const ticking = setInterval(() => machine.value && app.isStale() && draw(machine.value), 1000);
  return {
    element,
    title: () => t("machine"),
    topics: "gpu,task,system",
    on: {
      progress: (message) => tasks.progress(message),
      // Stages and checkpoints are frequent and do not change these lists.
      status: (message) => LISTED.includes(message.event?.type) && refetchSoon(),
    },
    refetch,
    keys: {},
    close() {
      unwatch();
      clearInterval(ticking);
      refetchSoon.cancel();
      tasks.close();
      for (const part of parts.values()) part.close?.();
      nodes.close();
    },
  };
}

/** @param {API.GPU[]} gpus */
function showCounts(gpus) {
  return ORDER.map((status) => ({ status, n: gpus.filter((gpu) => gpu.status === status).length }))
    .filter(({ n }) => n > 0)
    .map(({ status, n }) => `${n} ${labelFor("gpu", status)}`)
    .join(" · ");
}

function nothing() {
  return h("div", { class: "panel empty" }, icon("gpu"), h("p", {}, t("gpus.none")));
}
