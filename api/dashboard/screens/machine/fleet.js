// The GPUs of several machines, grouped by machine with its state and age.

import { labelFor, t, translate } from "../../app/i18n.js";
import { gpuAddress } from "../../app/router.js";
import { h, reconcile, setAttribute, setText } from "../../ui/dom.js";
import { count, isKnown, UNKNOWN } from "../../ui/format.js";
import { gpuKey, gpuName, gpuReference } from "../../ui/gpus.js";
import { isFree, shownStatus, statusChip, toneOf } from "../../ui/status.js";
import { gpuCard } from "./card.js";
import { gpuTile } from "./tile.js";

/** @typedef {"cells"|"tiles"|"cards"} Form */
/** @typedef {{form: Form, range: import("./history.js").Range, gpus: API.GPU[], node: API.NodeSummary}} Shown */

// With more GPUs, each is a cell until one machine is selected.
const MANY = 48;

/** @param {number} gpus @param {string} density the user's choice @param {boolean} isOne whether one machine is selected @returns {Form} */
function formOf(gpus, density, isOne) {
  if (!isOne && gpus > MANY) return "cells";
  return density === "cards" ? "cards" : "tiles";
}

/** @param {Shown} first @param {(node: string) => void} choose */
function group(first, choose) {
  const chip = statusChip("node");
  const [free, why] = [h("span.faint.small.nowrap"), h("span.soft.small.clip")];
  const name = h(
    "button.text-button",
    { title: first.node.name, on: { click: () => choose(first.node.name) } },
    first.node.name,
  );
  const grid = h("div");
  const element = h(
    "section.fleet-node.panel",
    { "aria-label": first.node.name },
    h("header", h("h2.grow.clip", name), free, chip.element),
    why,
    grid,
  );
  /** @type {Map<string|number|null, import("../../ui/dom.js").Part<API.GPU>>} */
  const parts = new Map();
  let drawnAs = "";

  const clear = () => {
    for (const part of parts.values()) part.close?.();
    parts.clear();
    grid.textContent = "";
  };
  return {
    element,
    /** @param {Shown} shown */
    update({ node, gpus, form, range }) {
      if (`${form} ${range}` !== drawnAs) {
        clear();
        drawnAs = `${form} ${range}`;
        grid.className = form === "cells" ? "fleet-cells" : `gpu-grid ${form === "tiles" ? "dense" : ""}`;
        element.classList.toggle("wide", form !== "cells");
      }
      chip.update(node.state);
      const available = gpus.filter(isFree).length;
      setText(free, t("node.free", { free: available, all: gpus.length }));
      setText(why, translate(node.reason ?? "", node.reason_code));
      why.title = why.textContent ?? "";
      reconcile(grid, parts, gpus, gpuKey, (gpu) =>
        form === "cells" ? gpuCell(gpu) : form === "tiles" ? gpuTile(gpu, range) : gpuCard(gpu, range),
      );
    },
    close: clear,
  };
}

/** @param {(node: string) => void} choose called with a machine, or "" for all */
export function fleet(choose) {
  const grid = h("section.fleet", { "aria-label": t("nodes") });
  const select = h("select.input.small.fleet-choice", { "aria-label": t("nodes.filter") });
  select.addEventListener("change", () => choose(select.value));
  select.hidden = true;
  /** @type {Map<string|number|null, import("../../ui/dom.js").Part<Shown>>} */
  const groups = new Map();
  let names = "";

  return {
    element: grid,
    tools: select,
    /** @param {API.Snapshot} snapshot @param {string} chosen @param {string} density @param {Shown["range"]} range @returns {Form|null} */
    update(snapshot, chosen, density, range) {
      const nodes = snapshot.nodes ?? [];
      select.hidden = nodes.length === 0;
      /** @type {Map<string, API.GPU[]>} */
      const byNode = new Map(nodes.map((node) => [node.name, []]));
      for (const gpu of snapshot.gpus) byNode.get(gpu.node ?? "")?.push(gpu);
      const isOne = byNode.has(chosen);
      const form = formOf(snapshot.gpus.length, density, isOne);
      if (nodes.map(({ name }) => name).join() !== names) {
        names = nodes.map(({ name }) => name).join();
        const options = nodes.map(({ name }) => h("option", { value: name }, name));
        select.replaceChildren(h("option", { value: "" }, t("nodes.all")), ...options);
      }
      select.value = isOne ? chosen : "";
      const shown = nodes
        .filter(({ name }) => !isOne || name === chosen)
        .map((node) => ({ node, gpus: byNode.get(node.name) ?? [], form, range }));
      grid.classList.toggle("cells", form === "cells");
      reconcile(
        grid,
        groups,
        shown,
        ({ node }) => node.name,
        (first) => group(first, choose),
      );
      return nodes.length ? form : null;
    },
    close() {
      for (const each of groups.values()) each.close?.();
      groups.clear();
    },
  };
}

/** @param {API.GPU} first its current state */
export function gpuCell(first) {
  const use = h("span", { "aria-hidden": "true" });
  const element = h("a.fleet-cell", { href: gpuAddress(gpuReference(first)) }, use);
  return {
    element,
    /** @param {API.GPU} gpu */
    update(gpu) {
      const isBusy = gpu.status !== "available" && isKnown(gpu.utilization_gpu) && !gpu.stale;
      setText(use, isBusy ? count(gpu.utilization_gpu) : gpu.status === "available" ? "" : UNKNOWN);
      setAttribute(element, "data-tone", toneOf("gpu", shownStatus(gpu)));
      const why = gpu.current_task?.task_id ?? translate(gpu.status_reason ?? "", gpu.status_reason_code);
      const label = `${gpuName(gpuReference(gpu))}: ${labelFor("gpu", shownStatus(gpu))}${why ? ` · ${why}` : ""}`;
      setAttribute(element, "title", label);
      setAttribute(element, "aria-label", label);
    },
    close() {
      // Nothing to release.
    },
  };
}
