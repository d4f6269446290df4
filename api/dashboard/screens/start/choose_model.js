// Step 1: the model type, and whether its files are present.

import { labelFor, t } from "../../app/i18n.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { firstVariant, STATES, stateOf } from "../models/state.js";
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
  const search = h("input", {
    class: "input",
    type: "search",
    placeholder: t("models.search"),
    "aria-label": t("models.search"),
  });
  const cards = h("div", { class: "model-cards", role: "group", "aria-label": t("models.types") });
  const picker = h("div", { class: "stack model-picker" }, search, cards);
  const view = variantView(downloads, (variant) => chosen(model(), variant));
  const summary = h("div", { class: "stack" });
  const paths = h("div", { class: "form-grid" });
  const files = h("details", {}, h("summary", { class: "small soft" }, t("group.paths")), paths);
  const element = h("div", { class: "stack" }, picker, summary, view.element, files);
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
    draw();
    const found = model();
    chosen(found, found && view.variant);
  }

  /** @param {string} id @param {Child[]} content */
  function card(id, ...content) {
    return h(
      "button",
      {
        type: "button",
        class: "model-card",
        data: { model: id },
        "aria-pressed": String(id === type),
        on: { click: () => choose(id) },
      },
      content,
    );
  }

  function drawCards() {
    const text = search.value.trim().toLowerCase();
    const shown = all.filter(({ id, name }) => !text || id.includes(text) || titled(name).toLowerCase().includes(text));
    const order = ["whole", "partial", "missing"];
    const sorted = [...shown].sort((a, b) => order.indexOf(stateOf(a)) - order.indexOf(stateOf(b)));
    fill(
      cards,
      card(
        "toy",
        icon("flask"),
        h("span", { class: "type-name" }, h("strong", {}, t("choose.toy")), h("span", { class: "tiny soft" }, "CPU")),
      ),
      sorted.map((each) => {
        const [tone, sign] = STATES[stateOf(each)];
        return card(
          each.id,
          icon(each.type === "video" ? "film" : "image"),
          h(
            "span",
            { class: "type-name" },
            h("strong", { class: "clip" }, titled(each.name)),
            h("span", { class: "type-memory" }, memoryChip(each)),
          ),
          h(
            "span",
            { class: "status", data: { tone }, title: labelFor("state", stateOf(each)) },
            icon(sign),
            h("span", { class: "visually-hidden" }, labelFor("state", stateOf(each))),
          ),
        );
      }),
    );
  }

  /** @param {string} [variant] */
  function draw(variant) {
    for (const each of cards.querySelectorAll(".model-card"))
      setAttribute(each, "aria-pressed", String(/** @type {HTMLElement} */ (each).dataset.model === type));
    reveal();
    const found = model();
    view.element.hidden = !found;
    files.hidden = !found;
    fill(summary, found && abilities(found));
    if (found) view.update(found, variant ?? view.variant?.id ?? firstVariant(found).id);
  }

  /** Scrolls the list, but not the page, to the selected type. */
  function reveal() {
    const chosen = /** @type {HTMLElement|null} */ (cards.querySelector('[aria-pressed="true"]'));
    if (!chosen) return;
    const [list, own] = [cards.getBoundingClientRect(), chosen.getBoundingClientRect()];
    if (own.top < list.top || own.bottom > list.bottom) cards.scrollTop += own.top - list.top - own.height / 2;
  }

  return {
    element,
    get variant() {
      return view.element.hidden ? null : view.variant;
    },
    get model() {
      return model();
    },
    /** Sets the known model types. @param {readonly API.Model[]} found */
    know(found) {
      all = found;
      drawCards();
      draw();
    },
    /** Selects a type that was chosen elsewhere. @param {string} id @param {string} [variant] */
    select(id, variant) {
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
      const own = fields.flatMap((each) => each.show(findings));
      if (paths.querySelector(".finding")) files.open = true;
      return own;
    },
    close: () => view.close(),
  };
}
