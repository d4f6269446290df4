// Checkboxes for specific GPUs, grouped by machine.

import { t } from "../app/i18n.js";
import { machine } from "../app/machine.js";
import { fill, h, reconcile, setText } from "./dom.js";
import { gigabytes } from "./format.js";
import { gpuKey, gpuName, gpuReference } from "./gpus.js";
import { isFree, shownStatus, statusChip } from "./status.js";

/** @typedef {number|string} Name an index, `node:index` or UUID */

/** @param {Name} a @param {Name} b */
const inOrder = (a, b) => String(a).localeCompare(String(b), undefined, { numeric: true });

/** The names of a GPU in requests. @param {API.GPU} gpu */
const namesOf = (gpu) => [gpuReference(gpu), gpu.uuid].filter((name) => name !== null).map(String);

/** Whether it is an index, which is not unique across machines. @param {Name} name */
const isIndex = (name) => /^\d+$/.test(String(name));

export function gpuPicks() {
  const element = h("div.gpu-pick-list");
  /** The requested GPUs. Unknown ones stay until the user changes them. @type {Name[]} */
  let named = [];
  /** Machines on which tasks can start; null: unknown. @type {string[]|null} */
  let startable = null;
  /** @type {Map<string, ReturnType<typeof group>>} */
  const groups = new Map();

  /** @param {API.GPU} gpu */
  const isNamed = (gpu) => {
    const own = namesOf(gpu);
    return named.some((name) => own.includes(String(name)));
  };

  /** @param {API.GPU} gpu @param {boolean} isRelevant */
  function name(gpu, isRelevant) {
    const own = namesOf(gpu);
    named = named.filter((each) => !own.includes(String(each)) && !(gpu.node && isIndex(each)));
    const first = gpuReference(gpu) ?? gpu.uuid;
    if (isRelevant && first !== null) named = [...named, first].sort(inOrder);
  }

  /** @param {API.GPU} first */
  function row(first) {
    let gpu = first;
    const chip = statusChip("gpu");
    const free = h("span.faint.small");
    /** @type {HTMLInputElement} */
    const box = h("input", { type: "checkbox", on: { change: () => name(gpu, box.checked) } });
    const label = h("b.nowrap", gpuName(gpu.gpu_id));
    return {
      element: h("label.gpu-pick", box, label, h("span.clip.grow", gpu.name ?? ""), free, chip.element),
      /** @param {API.GPU} next */
      update(next) {
        gpu = next;
        box.value = String(gpuReference(gpu) ?? gpu.uuid ?? "");
        box.checked = isNamed(gpu);
        chip.update(shownStatus(gpu));
        setText(free, t("gpu.free", { gb: gigabytes(gpu.memory.free) }));
      },
    };
  }

  /** The GPUs of one machine; without its name if it is the only one. @param {{node: string}} first */
  function group({ node }) {
    const [grid, free] = [h("div.gpu-picks"), h("span.faint.small")];
    /** @type {Map<string|number|null, ReturnType<typeof row>>} */
    const rows = new Map();
    return {
      element: node ? h("fieldset.gpu-pick-node", h("legend.small", h("b", node), " ", free), grid) : grid,
      /** @param {{gpus: API.GPU[]}} shown */
      update({ gpus }) {
        setText(free, t("node.free", { free: gpus.filter(isFree).length, all: gpus.length }));
        reconcile(grid, rows, gpus, gpuKey, row);
      },
    };
  }

  function draw() {
    const snapshot = machine.value;
    if (!snapshot) return fill(element);
    const nodes = snapshot.nodes?.map((node) => node.name).filter((node) => !startable || startable.includes(node));
    const shown = (nodes ?? [""]).map((node) => ({
      node,
      gpus: snapshot.gpus.filter((gpu) => (gpu.node ?? "") === node),
    }));
    reconcile(
      element,
      groups,
      shown.filter(({ gpus }) => gpus.length > 0),
      ({ node }) => node,
      group,
    );
  }

  const close = machine.watch(draw);
  return {
    element,
    close,
    get named() {
      return named;
    },
    /** @param {Name[]} names */
    choose(names) {
      named = names;
      draw();
    },
    /** Shows only the GPUs of these machines. @param {string[]} nodes */
    only(nodes) {
      startable = nodes;
      draw();
    },
  };
}

/** The largest number of GPUs in one machine: a training uses one machine. @param {API.Snapshot} snapshot */
export function mostInOne({ gpus }) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { node } of gpus) counts.set(node ?? "", (counts.get(node ?? "") ?? 0) + 1);
  return Math.max(0, ...counts.values());
}
