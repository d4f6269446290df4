// Step 3: presets, by the memory of a GPU.

import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { titled } from "../models/titles.js";
import { measuredText } from "./memory.js";

/** Common memory sizes of GPUs, in GB. */
const TIERS = [12, 16, 24, 48, 80];
/** Real memory relative to the nominal size: 24 GB boards report 23,028 MB. */
const SLACK = 0.9;

/** The largest tier that this machine's GPUs reach; null: unknown. */
export function ownTier() {
  const totals = (machine.value?.gpus ?? []).map(({ memory }) => memory.total).filter((mb) => mb !== null);
  const most = Math.max(0, ...totals.map((mb) => mb / 1024));
  return TIERS.filter((tier) => most >= tier * SLACK).pop() ?? null;
}

/** @param {(preset: API.Preset|null) => void} chosen called when the user chooses one; null: custom settings */
export function presetChoice(chosen) {
  /** @type {readonly API.Preset[]} */
  let known = [];
  /** @type {API.Variant|null} */
  let variant = null;
  let name = "";
  const cards = h("div", { class: "preset-cards", role: "group", "aria-label": t("step.preset") });
  const element = h("div", { class: "stack" }, h("p", { class: "small soft" }, t("preset.text")), cards);

  /** @param {API.Preset|null} preset */
  function choose(preset) {
    name = preset?.name ?? "";
    draw();
    chosen(preset);
    /** @type {HTMLElement|null} */ (cards.querySelector("[aria-pressed=true]"))?.focus();
  }

  /** @param {number} tier @returns {Child} */
  function tierCards(tier) {
    const own = known.filter(({ memory_gb: gb }) => gb === tier);
    const head = h(
      "span",
      { class: "preset-tier" },
      t("preset.tier", { gb: tier }),
      tier === ownTier() && h("span", { class: "tag" }, icon("gpu"), t("preset.yours")),
    );
    if (!own.length)
      return h("div", { class: "preset-card unknown" }, head, h("span", { class: "small" }, t("preset.unknown")));
    return own.map((preset) =>
      h(
        "button",
        {
          type: "button",
          class: "preset-card",
          data: { preset: preset.name },
          "aria-pressed": String(preset.name === name),
          on: { click: () => choose(preset) },
        },
        head.cloneNode(true),
        h("span", { class: "small" }, titled(preset.title)),
        preset.known_memory_gb !== null &&
          h("span", { class: "tiny ok" }, t("preset.known", { gb: preset.known_memory_gb })),
        preset.memory && h("span", { class: "tiny ok" }, measuredText(preset.memory)),
        preset.variant !== variant?.id &&
          h("span", { class: "tiny warn" }, t("preset.other", { variant: preset.variant })),
        h("span", { class: "tiny faint foreign" }, t("preset.source", { source: titled(preset.source) })),
      ),
    );
  }

  function draw() {
    const tiers = [...new Set([...TIERS, ...known.map(({ memory_gb: gb }) => gb)])].sort((a, b) => a - b);
    fill(
      cards,
      tiers.map(tierCards),
      h(
        "button",
        {
          type: "button",
          class: "preset-card",
          data: { preset: "" },
          "aria-pressed": String(name === ""),
          on: { click: () => choose(null) },
        },
        h("span", { class: "preset-tier" }, t("preset.none")),
        h("span", { class: "small" }, t("preset.none.text")),
      ),
    );
  }

  let drawnFor = ownTier();
  const forget = machine.watch(() => {
    if (ownTier() === drawnFor) return;
    drawnFor = ownTier();
    if (known.length && !cards.contains(document.activeElement)) draw();
  });

  return {
    element,
    close: forget,
    /** The preset for this machine's GPUs and this variant, or null. */
    get best() {
      const tier = ownTier();
      const fitting = known.filter((each) => each.variant === variant?.id && tier !== null && each.memory_gb <= tier);
      return fitting.sort((a, b) => b.memory_gb - a.memory_gb)[0] ?? null;
    },
    /** @param {readonly API.Preset[]} presets @param {API.Variant|null} of */
    know(presets, of) {
      known = presets;
      variant = of;
      draw();
    },
    /** @param {string} chosenName */
    select(chosenName) {
      name = chosenName;
      draw();
    },
  };
}
