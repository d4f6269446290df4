// The GPUs of several machines, those of each together under its name, state and age.

import { t, tell } from "../../app/i18n.js";
import { nodesAddress } from "../../app/router.js";
import { h, reconcile, setText } from "../../ui/dom.js";
import { gpuKey } from "../../ui/gpus.js";
import { statusChip } from "../../ui/status.js";
import { gpuCard } from "./card.js";
import { gpuCell } from "./cell.js";
import { gpuTile } from "./tile.js";

/** @typedef {"cells"|"tiles"|"cards"} Form */
/** @typedef {{form: Form, range: import("./history.js").Range, gpus: API.GPU[], node: API.NodeSummary}} Shown */

// With more GPUs than this, each is a cell until one machine is chosen.
const MANY = 48;

/** @param {number} gpus @param {string} density as it was chosen @param {boolean} isOne whether one machine was chosen @returns {Form} */
export function formOf(gpus, density, isOne) {
  if (!isOne && gpus > MANY) return "cells";
  return density === "cards" ? "cards" : "tiles";
}

/** @param {Shown} first @param {(node: string) => void} choose */
function group(first, choose) {
  const chip = statusChip("node");
  const [free, why] = [h("span", { class: "faint small nowrap" }), h("span", { class: "soft small clip" })];
  const name = h(
    "button",
    { class: "text-button", title: first.node.name, on: { click: () => choose(first.node.name) } },
    first.node.name,
  );
  const grid = h("div", {});
  const element = h(
    "section",
    { class: "fleet-node panel", "aria-label": first.node.name },
    h("header", {}, h("h2", { class: "grow clip" }, name), free, chip.element),
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
      const available = gpus.filter((gpu) => gpu.is_available).length;
      setText(free, t("node.free", { free: available, all: gpus.length }));
      setText(why, tell(node.reason ?? "", node.reason_code));
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
  const grid = h("section", { class: "fleet", "aria-label": t("nodes") });
  const select = h("select", { class: "input small", "aria-label": t("nodes.filter") });
  select.addEventListener("change", () => choose(select.value));
  const tools = h(
    "div",
    { class: "fleet-tools", hidden: true },
    select,
    h("a", { class: "button small", href: nodesAddress }, t("nodes.manage")),
  );
  /** @type {Map<string|number|null, import("../../ui/dom.js").Part<Shown>>} */
  const groups = new Map();
  let names = "";

  return {
    element: grid,
    tools,
    /** @param {API.Snapshot} snapshot @param {string} chosen @param {string} density @param {Shown["range"]} range @returns {Form|null} */
    update(snapshot, chosen, density, range) {
      const nodes = snapshot.nodes ?? [];
      tools.hidden = nodes.length === 0;
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
