// Step 3: presets, built in and own, and what differs from the chosen one.

import { access, whyNot } from "../../app/access.js";
import { api } from "../../app/api.js";
import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { actionButton } from "../../ui/buttons.js";
import { askSure } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { toast } from "../../ui/toast.js";
import { titled } from "../models/titles.js";
import { keyLabel, showValue } from "./draft.js";
import { measuredText } from "./memory.js";
import { differences, settingsOf } from "./preset_settings.js";

/** Common memory sizes of GPUs, in GB. */
const TIERS = [12, 16, 24, 48, 80];
/** Real memory relative to the nominal size: 24 GB boards report 23,028 MB. */
const SLACK = 0.9;
/** More differences are only counted. */
const SHOWN = 12;

/** @typedef {import("./preset_settings.js").Settings} Settings */
/** A built-in preset has its name as id. @typedef {{id: string, settings: Settings, env?: Record<string, string>, builtin?: API.Preset, own?: API.OwnPreset}} Choice */

/** The largest tier that this machine's GPUs reach; null: unknown. */
function ownTier() {
  const totals = (machine.value?.gpus ?? []).map(({ memory }) => memory.total).filter((mb) => mb !== null);
  const most = Math.max(0, ...totals.map((mb) => mb / 1024));
  return TIERS.filter((tier) => most >= tier * SLACK).pop() ?? null;
}

/** The preset for this machine's GPUs, of these. @param {readonly API.Preset[]} presets @returns {API.Preset|null} */
export function bestPreset(presets) {
  const tier = ownTier();
  const fitting = presets.filter(({ memory_gb: gb }) => tier !== null && gb <= tier);
  return fitting.sort((a, b) => b.memory_gb - a.memory_gb)[0] ?? null;
}

/**
 * @param {import("./draft.js").Draft} draft @param {() => API.Variant|null} variantOf returns the chosen variant
 * @param {(choice: Choice|null) => void} chosen called when the user chooses one; null: custom settings
 */
export function presetChoice(draft, variantOf, chosen) {
  /** @type {Choice[]} */
  let known = [];
  let [type, id] = ["", ""];
  const cards = h("div.preset-cards", { role: "group", "aria-label": t("step.preset") });
  const changes = h("div.preset-changes", { role: "status" });
  const tools = h("div.choice-line");
  const element = h("div.stack", cards, changes, tools);
  let drawn = "";

  const current = () => known.find((each) => each.id === id) ?? null;

  /** @param {string} next */
  function choose(next) {
    id = next;
    chosen(current());
    draw();
    /** @type {HTMLElement|null} */ (cards.querySelector("[aria-pressed=true]"))?.focus();
  }

  /** @param {string} cardId @param {Child[]} content */
  const card = (cardId, ...content) =>
    h(
      "button",
      {
        type: "button",
        class: "preset-card",
        data: { preset: cardId },
        "aria-pressed": String(cardId === id),
        on: { click: () => choose(cardId) },
      },
      content,
    );

  /** @param {string} cardId @param {API.Preset} preset */
  const builtinCard = (cardId, preset) =>
    card(
      cardId,
      h(
        "span.preset-tier",
        t("preset.tier", { gb: preset.memory_gb }),
        preset.memory_gb === ownTier() && h("span.tag", icon("gpu"), t("preset.yours")),
      ),
      h("span.small", titled(preset.title)),
      preset.known_memory_gb !== null && h("span.tiny.ok", t("preset.known", { gb: preset.known_memory_gb })),
      preset.memory && h("span.tiny.ok", measuredText(preset.memory)),
      preset.variant !== variantOf()?.id && h("span.tiny.warn", t("preset.other", { variant: preset.variant })),
      h("span.tiny.faint.foreign", t("preset.source", { source: titled(preset.source) })),
    );

  /** @param {API.OwnPreset} preset */
  function ownCard(preset) {
    const owner = preset.owner !== (access.value?.who?.user_id ?? null) && preset.owner;
    return card(
      preset.preset_id,
      h("span.preset-tier.foreign", icon("star"), preset.name),
      h("span.small.soft", owner ? t("preset.of", { owner }) : t("preset.own")),
      preset.shared && !owner && h("span.tag", icon("user"), t("preset.shared")),
    );
  }

  function draw() {
    fill(
      cards,
      known.map(({ id: each, builtin, own }) => (builtin ? builtinCard(each, builtin) : own && ownCard(own))),
      card("", h("span.preset-tier", t("preset.none")), h("span.small", t("preset.none.text"))),
    );
    showChanges();
  }

  /** What differs from the chosen preset, and what can be done about it. */
  function showChanges() {
    const choice = current();
    const found = choice ? differences(choice.settings, draft) : [];
    const own = choice?.own;
    const [why, notOwner] = [whyNot("training:write"), own ? whyNot("training:write", own.owner) : null];
    // A button that is replaced between the press and the release of the mouse would not be clicked.
    const key = JSON.stringify([found, own, why, notOwner]);
    if (key === drawn) return;
    drawn = key;
    const more = found.length - SHOWN;
    fill(
      changes,
      found.length > 0 &&
        h(
          "p.small",
          h("strong", t("preset.changes")),
          " ",
          found
            .slice(0, SHOWN)
            .map(({ key, before, after }) =>
              h(
                "span.fact-chip.foreign",
                keyLabel(key),
                " ",
                h("s", before === undefined ? t("preset.unset") : showValue(before)),
                " → ",
                after === undefined ? t("preset.unset") : showValue(after),
              ),
            ),
          more > 0 && t("preset.more", { n: more }),
        ),
    );
    /** @param {WordKey} key @param {import("../../ui/icons.js").IconName} sign @param {() => unknown} run @param {string|null} denied */
    const tool = (key, sign, run, denied) => actionButton("small", denied, run, icon(sign), t(key));
    fill(
      tools,
      tool("preset.save", "save", saveAs, why),
      found.length > 0 && tool("preset.undo", "redo", () => choose(id), null),
      own && found.length > 0 && tool("preset.update", "check", () => update(own), notOwner),
      own && tool("preset.edit", "pen", () => edit(own), notOwner),
      own && tool("preset.delete", "trash", () => remove(own), notOwner),
    );
  }

  /** @param {string} [selected] by default the chosen one, which the user may change meanwhile */
  async function refetch(selected) {
    const wanted = type;
    const [{ presets: builtin }, { presets: own }] = await Promise.all([
      api.presets(wanted),
      models.ownPresets({ model_type: wanted, limit: 500 }),
    ]);
    if (type !== wanted) return;
    known = [...builtin.map(builtinChoice), ...own.map(ownChoice)];
    const next = selected ?? id;
    id = known.some((each) => each.id === next) ? next : "";
    draw();
  }

  const fields = (/** @type {string} */ name, /** @type {boolean} */ isShared) => [
    { name: "name", label: t("name"), value: name, required: true },
    { name: "shared", label: t("preset.share"), value: isShared ? "yes" : "", type: /** @type {const} */ ("checkbox") },
  ];

  async function saveAs() {
    const key = newKey();
    const { askFields } = await import("../../ui/form_dialog.js");
    return askFields(t("preset.save.title"), fields("", false), t("preset.save.do"), async ({ name, shared }) => {
      const body = { name, model_type: type, shared: shared === "yes", ...settingsOf(draft, variantOf()) };
      const made = await models.savePreset(body, key);
      toast("ok", t("preset.saved", { name }));
      await refetch(made.preset_id);
    });
  }

  /** @param {API.OwnPreset} own */
  async function update({ preset_id: one, name }) {
    await models.changePreset(one, settingsOf(draft, variantOf()));
    toast("ok", t("preset.saved", { name }));
    await refetch();
  }

  /** @param {API.OwnPreset} own */
  const edit = async ({ preset_id: one, name, shared }) => {
    const { askFields } = await import("../../ui/form_dialog.js");
    return askFields(t("preset.edit.title"), fields(name, shared), t("preset.save.do"), async (values) => {
      await models.changePreset(one, { name: values.name, shared: values.shared === "yes" });
      await refetch();
    });
  };

  /** @param {API.OwnPreset} own */
  async function remove({ preset_id: one, name }) {
    const text = t("preset.delete.text");
    if (!(await askSure({ title: t("preset.delete.title", { name }), text, action: t("preset.delete") }))) return;
    await models.removePreset(one);
    await refetch("");
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
    update: showChanges,
    get id() {
      return id;
    },
    /** The preset for this machine's GPUs and this variant, or null. */
    get best() {
      const fitting = known.flatMap(({ builtin }) => (builtin?.variant === variantOf()?.id ? [builtin] : []));
      const best = bestPreset(/** @type {API.Preset[]} */ (fitting));
      return known.find(({ builtin }) => builtin && builtin === best) ?? null;
    },
    /** Fetches the presets of a model type. @param {string} model */
    know(model) {
      if (model !== type) known = [];
      type = model;
      return refetch();
    },
    /** @param {string} chosenId */
    select(chosenId) {
      id = chosenId;
      draw();
    },
  };
}

/** @param {API.Preset} preset @returns {Choice} */
function builtinChoice(preset) {
  const { config, dataset, env } = /** @type {Settings & {env?: Record<string, string>}} */ (preset.request);
  return { id: preset.name, settings: { config, dataset }, env, builtin: preset };
}

/** @param {API.OwnPreset} own @returns {Choice} */
const ownChoice = (own) => ({
  id: own.preset_id,
  settings: { config: own.settings, dataset: own.dataset },
  own,
});
