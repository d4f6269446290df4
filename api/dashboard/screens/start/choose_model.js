// Step 1: the model type, and whether its files are present.

import { labelFor, t } from "../../app/i18n.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { bytes } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { firstVariant, missingOf, publishedSize, STATES, stateOf, stateOfVariant, sumOf } from "../models/state.js";
import { titled } from "../models/titles.js";
import { abilities, memoryChip, variantView } from "../models/variant.js";
import { settingField } from "./setting_field.js";
import { helpOf } from "./settings_form.js";

/**
 * @param {import("../models/downloads.js").Downloads} downloads @param {import("./draft.js").Draft} draft
 * @param {(model: API.Model|null, variant: API.Variant|null) => void} chosen called when the user chooses one; null: the toy
 */
export function modelChoice(downloads, draft, chosen) {
  /** @type {readonly API.Model[]} */
  let all = [];
  let type = "toy";
  /** Whether a request or a link has chosen the type. */
  let isRestored = false;
  const search = h("input.input", {
    type: "search",
    placeholder: t("models.search"),
    "aria-label": t("models.search"),
  });
  const cards = h("div.model-cards");
  const now = h("summary.model-now");
  const picker = h("details.model-picker", now, h("div.stack", search, cards));
  const view = variantView(downloads, (variant) => chosen(model(), variant));
  const summary = h("div.stack");
  const paths = h("div.form-grid");
  const files = h("details.fold", h("summary", t("group.paths")), summary, view.element, paths);
  const element = h("div.stack", picker, files);
  /** @type {ReturnType<typeof settingField>[]} */
  let fields = [];

  const model = () => all.find(({ id }) => id === type) ?? null;
  const quiet = (/** @type {Event} */ event) => event.stopPropagation();
  search.addEventListener("input", (event) => {
    quiet(event);
    drawCards();
  });
  search.addEventListener("change", quiet);

  /** @param {string} id */
  function choose(id) {
    type = id;
    picker.open = false;
    now.focus();
    draw();
    const found = model();
    chosen(found, found && view.variant);
  }

  /** @param {API.Model|null} each null: the toy @returns {Child[]} */
  function about(each) {
    if (!each)
      return [
        icon("flask"),
        h("span.type-name", h("strong", t("choose.toy")), h("span.tiny.soft", t("choose.toy.text"))),
      ];
    const [tone, sign] = STATES[stateOf(each)];
    return [
      icon(each.type === "video" ? "film" : "image"),
      h(
        "span.type-name",
        h("strong.clip", titled(each.name)),
        h("span.type-memory", memoryChip(each), h("span.tiny.soft", sizeText(each))),
      ),
      h(
        "span.status",
        { data: { tone }, title: labelFor("state", stateOf(each)) },
        icon(sign),
        h("span.visually-hidden", labelFor("state", stateOf(each))),
      ),
    ];
  }

  /** @param {API.Model|null} each */
  const card = (each) =>
    h(
      "button",
      {
        type: "button",
        class: "model-card",
        data: { model: each?.id ?? "toy" },
        "aria-pressed": String((each?.id ?? "toy") === type),
        on: { click: () => choose(each?.id ?? "toy") },
      },
      about(each),
    );

  function drawCards() {
    const text = search.value.trim().toLowerCase();
    const shown = all.filter(({ id, name }) => !text || id.includes(text) || titled(name).toLowerCase().includes(text));
    const group = (/** @type {import("../models/state.js").State} */ state) => {
      const own = [...(state === "ready" ? [null] : []), ...shown.filter((each) => stateOf(each) === state)];
      const id = `models-${state}`;
      return (
        own.length > 0 &&
        h(
          "section",
          { "aria-labelledby": id },
          h("h3", { id }, labelFor("model.group", state)),
          h("div.model-group", own.map(card)),
        )
      );
    };
    fill(cards, /** @type {const} */ (["ready", "incomplete", "missing"]).map(group));
  }

  /** @param {string} [variant] */
  function draw(variant) {
    for (const each of cards.querySelectorAll(".model-card"))
      setAttribute(each, "aria-pressed", String(/** @type {HTMLElement} */ (each).dataset.model === type));
    const found = model();
    fill(now, about(found), h("span.button.small", t("model.change")));
    now.dataset.model = type;
    files.hidden = !found;
    fill(summary, found && abilities(found));
    if (!found) return;
    view.update(found, variant ?? view.variant?.id ?? firstVariant(found).id);
    // Missing files come first: nothing can start without them.
    if (view.variant && stateOfVariant(view.variant) !== "ready") files.open = true;
  }

  /** Scrolls the list, but not the page, to the selected type. */
  function reveal() {
    const chosen = /** @type {HTMLElement|null} */ (cards.querySelector('[aria-pressed="true"]'));
    if (!picker.open || !chosen) return;
    const [list, own] = [cards.getBoundingClientRect(), chosen.getBoundingClientRect()];
    if (own.top < list.top || own.bottom > list.bottom) cards.scrollTop += own.top - list.top - own.height / 2;
  }
  picker.addEventListener("toggle", reveal);

  return {
    element,
    get variant() {
      return model() ? view.variant : null;
    },
    get model() {
      return model();
    },
    /** Sets the known model types. @param {readonly API.Model[]} found */
    know(found) {
      // Those who have models here want to choose one.
      if (!all.length && type === "toy" && !isRestored && found.some((each) => stateOf(each) === "ready"))
        picker.open = true;
      all = found;
      drawCards();
      draw();
    },
    /** Selects a type that was chosen elsewhere. @param {string} id @param {string} [variant] */
    select(id, variant) {
      isRestored = true;
      picker.open = false;
      type = id;
      const found = model();
      draw(found ? (variant ?? firstVariant(found).id) : undefined);
    },
    /** Shows its paths as fields. @param {API.ModelSettings|null} settings */
    describe(settings) {
      const table = settings?.tables.find(({ name }) => name === "model");
      fields = (table?.settings ?? [])
        .filter((each) => each.is_path)
        .map((each) =>
          settingField(each, ["config", "model", each.name], draft, table ? helpOf(table, each) : each.help),
        );
      fill(
        paths,
        fields.map((each) => each.element),
      );
      for (const each of fields) each.update();
    },
    update() {
      for (const each of fields) each.update();
    },
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      return fields.flatMap((each) => each.show(findings));
    },
    close: () => view.close(),
  };
}

/** The size of its files here, or what a download would need. @param {API.Model} model */
function sizeText(model) {
  const variant = firstVariant(model);
  if (stateOf(model) === "ready") return bytes(variant.components.reduce((sum, { size }) => sum + (size ?? 0), 0));
  const { gb, isWhole } = sumOf(missingOf(variant));
  return gb ? t(isWhole ? "model.missing" : "model.missing.least", { size: publishedSize(gb) ?? "" }) : "";
}
