// The GPUs and their readings, of one machine or several.

import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { place, storeQuery } from "../../app/router.js";
import { recall, remember } from "../../app/settings.js";
import { fill, h, reconcile } from "../../ui/dom.js";
import { gpuKey } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { sections } from "../../ui/sections.js";
import { segments } from "../../ui/segments.js";
import { gpuCard } from "./card.js";
import { fleet } from "./fleet.js";
import { holdsPanel } from "./holds.js";
import { rangeChoice } from "./range.js";
import { countsText, problemNote, summary } from "./summary.js";
import { gpuTile } from "./tile.js";

// More cards than this do not fit on a screen.
const MANY = 12;
const DENSITIES = /** @type {const} */ (["cards", "tiles"]);

/** @param {import("../../app/main.js").App} app @returns {import("../../app/main.js").Screen} */
export function open(app) {
  const figures = summary();
  const held = holdsPanel();
  const grid = h("section.gpu-grid", { "aria-label": t("gpus") });
  const problem = h("div");
  let chosen = place().query.get("node") ?? "";
  const nodes = fleet((node) => {
    chosen = node;
    storeQuery("/gpus", { node });
    redraw();
  });
  /** @type {Map<string|number|null, import("../../ui/dom.js").Part<API.GPU>>} */
  const parts = new Map();
  let density = recall("density", "auto");
  let drawnAs = "";

  const range = rangeChoice(redraw);
  const densities = segments(
    t("density"),
    DENSITIES.map((value) => ({ value, label: t(`density.${value}`) })),
    "",
    (value) => {
      density = value;
      remember("density", value);
      redraw();
    },
  );
  const counts = h("p.soft.small", { "aria-live": "polite" });
  const simulated = h("p.warn.small", { hidden: true }, t("simulated"));

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
    fill(problem, problemNote(snapshot), !all.length && nothing());
    counts.textContent = countsText(all);
    simulated.hidden = snapshot.source !== "simulated";
  }

  const element = h(
    "div.screen",
    h(
      "div.screen-head",
      h("h1", t("gpus")),
      sections("gpus", "#/gpus"),
      counts,
      h("div.tools", held.create, nodes.tools, range.element, densities.element),
    ),
    simulated,
    figures.element,
    problem,
    held.element,
    grid,
    nodes.element,
  );
  const unwatch = machine.watch(draw);
  // Update ages and charts while no data arrives.
  const ticking = setInterval(() => machine.value && app.isStale() && draw(machine.value), 1000);
  return {
    element,
    title: () => t("gpus"),
    topics: "gpu,system",
    on: {},
    refetch: async () => void (await Promise.all([figures.refresh(), held.refetch()])),
    close() {
      unwatch();
      held.close();
      clearInterval(ticking);
      for (const part of parts.values()) part.close?.();
      nodes.close();
    },
  };
}

function nothing() {
  return h("div.panel.empty", icon("gpu"), h("p", t("gpus.none")));
}
