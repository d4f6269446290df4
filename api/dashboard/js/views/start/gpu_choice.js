// Which GPUs: any so many, or exactly these.

import { gpuName } from "../../components/gpus.js";
import { statusChip } from "../../components/status.js";
import { fill, h } from "../../dom.js";
import { gigabytes } from "../../format.js";
import { t } from "../../i18n.js";
import { machine } from "../../machine.js";
import { numberInput } from "./fields.js";
import { findingItem } from "./findings.js";

export function gpuChoice() {
  const any = h("input", { type: "radio", name: "gpus", value: "any", checked: true, id: "gpus-any" });
  const these = h("input", { type: "radio", name: "gpus", value: "these", id: "gpus-these" });
  const count = numberInput({ min: 1, max: 64, step: 1, value: 1, "aria-label": t("gpu.count") });
  const list = h("div", { class: "gpu-picks" });
  const wrong = h("ul", { class: "findings" });
  /**
   * By index.
   * @type {Map<number|null, {gpu: API.GPU, box: HTMLInputElement, free: HTMLElement, chip: ReturnType<typeof statusChip>}>}
   */
  const chips = new Map();
  /** What was asked for, by index or UUID: one that is not here stays as long as its box is not touched. @type {(number|string)[]} */
  let named = [];
  const element = h(
    "fieldset",
    { class: "gpu-choice" },
    h("legend", { class: "label" }, t("gpus")),
    h("div", { class: "choice-line" }, h("label", { class: "check" }, any, t("gpus.any")), count),
    h("label", { class: "check" }, these, t("gpus.these")),
    list,
    wrong,
  );
  const showList = () => {
    list.hidden = !these.checked;
    count.disabled = these.checked;
  };
  const isNamed = (/** @type {API.GPU} */ gpu) =>
    named.some((name) => String(name) === String(gpu.gpu_id) || name === gpu.uuid);

  /** @param {API.GPU} gpu @param {boolean} isWanted */
  function name(gpu, isWanted) {
    named = named.filter((each) => String(each) !== String(gpu.gpu_id) && each !== gpu.uuid);
    const own = gpu.gpu_id ?? gpu.uuid;
    if (isWanted && own !== null) named = [...named, own].sort((a, b) => Number(a) - Number(b) || 0);
  }
  element.addEventListener("change", showList);
  showList();

  /** @param {API.GPU} gpu */
  function pick(gpu) {
    const chip = statusChip("gpu");
    /** @type {HTMLInputElement} */
    const box = h("input", {
      type: "checkbox",
      value: gpu.gpu_id,
      checked: isNamed(gpu),
      on: { change: () => name(gpu, box.checked) },
    });
    const free = h("span", { class: "faint small" });
    const label = h(
      "label",
      { class: "gpu-pick" },
      box,
      h("b", { class: "nowrap" }, gpuName(gpu.gpu_id)),
      h("span", { class: "clip grow" }, gpu.name ?? ""),
      free,
      chip.element,
    );
    chips.set(gpu.gpu_id, { gpu, box, chip, free });
    return label;
  }

  const unwatch = machine.watch((snapshot) => {
    if (!snapshot) return;
    if (snapshot.gpus.length !== chips.size) {
      chips.clear();
      fill(list, snapshot.gpus.map(pick));
      count.max = String(snapshot.gpus.length || 1);
    }
    for (const gpu of snapshot.gpus) {
      const row = chips.get(gpu.gpu_id);
      row?.chip.update(gpu.status);
      if (row) row.free.textContent = t("gpu.free", { gb: gigabytes(gpu.memory.free) });
    }
  });
  return {
    element,
    close: unwatch,
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const own = findings.filter(({ pointer }) => /^\/(gpu_ids?|gpu_count)(\/|$)/.test(pointer));
      fill(
        wrong,
        own.map((finding) => findingItem(finding, "", null)),
      );
      return own;
    },
    /** The part of the request. */
    wish() {
      if (any.checked) return { gpu_count: count.valueAsNumber || 1 };
      return { gpu_ids: named };
    },
    /** @param {API.Request} wish */
    choose(wish) {
      these.checked = Array.isArray(wish.gpu_ids);
      any.checked = !these.checked;
      if (wish.gpu_count) count.value = String(wish.gpu_count);
      named = wish.gpu_ids ?? [];
      for (const { gpu, box } of chips.values()) box.checked = isNamed(gpu);
      showList();
    },
  };
}
