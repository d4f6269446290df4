// The models screen: model types, their files on this machine, and downloads.

import { api } from "../../app/api.js";
import { labelFor, t } from "../../app/i18n.js";
import { storeQuery } from "../../app/router.js";
import { fill, h, reconcile, setAttribute, setText } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { panel } from "../../ui/panel.js";
import { sections } from "../../ui/sections.js";
import { segments } from "../../ui/segments.js";
import { watchDownloads } from "./downloads.js";
import { examinePanel } from "./examine.js";
import { firstVariant, STATES, stateOf } from "./state.js";
import { titled } from "./titles.js";
import { abilities, memoryChip, variantView } from "./variant.js";

/** @typedef {"all"|import("./state.js").State} Filter */

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, place) {
  /** @type {API.Model[]} */
  let all = [];
  const wanted = { type: place.query.get("type") ?? "", variant: place.query.get("variant") ?? "" };
  /** @type {Filter} */
  let filter = "all";
  let isFirst = true;
  const downloads = watchDownloads(() => refetch().catch(() => app.stream.retry()));
  /** @type {Map<string, ReturnType<typeof typeRow>>} */
  const parts = new Map();
  const list = h("ul.type-list");
  const none = h("p.none.faint", { hidden: true }, t("filter.none"));
  const search = h("input.input", {
    type: "search",
    placeholder: t("models.search"),
    "aria-label": t("models.search"),
    maxlength: 100,
    data: { search: "" },
    on: { input: () => draw() },
  });
  const filters = segments(
    t("models.filter"),
    /** @type {Filter[]} */ (["all", "ready", "incomplete", "missing"]).map((value) => ({
      value,
      label: labelFor("state", value),
    })),
    "all",
    (value) => {
      filter = value;
      draw();
    },
  );
  const view = variantView(downloads, ({ id }) => {
    wanted.variant = id;
    storeQuery("/models", wanted);
    showTrain();
  });
  const [head, intro] = [h("header"), h("div.stack")];
  const detail = h(
    "section.panel.type-detail",
    { "aria-label": t("models.type"), hidden: true },
    head,
    h("div.body.stack", intro, view.element),
  );
  const total = h("span.count-badge");
  const train = h("a.button.primary", { href: "#/new" }, icon("play"), t("models.train"));

  const chosen = () => all.find(({ id }) => id === wanted.type);

  function draw() {
    const text = search.value.trim().toLowerCase();
    const shown = all.filter((model) => (filter === "all" || stateOf(model) === filter) && matches(model, text));
    reconcile(
      list,
      parts,
      shown,
      ({ id }) => id,
      () => typeRow(choose),
    );
    for (const [id, row] of parts) row.mark(id === wanted.type);
    none.hidden = shown.length > 0 || all.length === 0;
    fill(total, count(shown.length));
  }

  /** @param {string} id */
  function choose(id) {
    wanted.type = id;
    wanted.variant = "";
    storeQuery("/models", wanted);
    draw();
    showDetail();
    if (detail.getBoundingClientRect().top > innerHeight * 0.8) detail.scrollIntoView({ block: "start" });
  }

  function showTrain() {
    const query = new URLSearchParams({ model: wanted.type, ...(view.variant ? { variant: view.variant.id } : {}) });
    setAttribute(train, "href", `#/new?${query}`);
  }

  function showDetail() {
    const model = chosen();
    detail.hidden = !model;
    if (!model) return;
    view.update(model, wanted.variant || firstVariant(model).id);
    showTrain();
    fill(
      head,
      icon(model.type === "video" ? "film" : "image"),
      h("h2", titled(model.name)),
      h("code.faint.small", model.id),
      h("div.tools", train),
    );
    fill(
      intro,
      abilities(model),
      h(
        "p.small.soft",
        titled(model.vram_note ?? ""),
        " ",
        h("span.faint", t("source.of", { source: labelFor("origin", model.vram_source) })),
      ),
      model.requirements.length > 0 &&
        h("p.small.soft", t("models.requirements"), " ", model.requirements.map(titled).join(", ")),
    );
  }

  async function refetch() {
    const [found] = await Promise.all([api.models(), downloads.refetch()]);
    all = found.models;
    if (!chosen()) wanted.type = (all.find((model) => stateOf(model) === "ready") ?? all[0])?.id ?? "";
    draw();
    showDetail();
    if (isFirst) parts.get(wanted.type)?.show();
    isFirst = false;
  }

  /** Moves the selection, for the keys j and k. @param {number} step */
  function move(step) {
    const buttons = [...parts.values()].map(({ button }) => button);
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    buttons[Math.min(buttons.length - 1, Math.max(0, at + step))]?.focus();
  }

  return {
    element: h(
      "div.screen.models-screen",
      h("div.screen-head", h("h1", t("nav.models")), sections("models", "#/models")),
      h("div.filters", h("div.search", icon("search"), search, h("kbd", "/")), filters.element),
      h(
        "div.models-columns",
        panel("types", t("models.types"), total, list, none),
        h("div.stack", detail, examinePanel()),
      ),
    ),
    title: () => t("nav.models"),
    topics: "gpu,task,system",
    on: { status: downloads.refetchSoon },
    refetch,
    keys: { j: () => move(1), k: () => move(-1) },
    close() {
      view.close();
      downloads.close();
    },
  };
}

/** @param {API.Model} model @param {string} text */
const matches = ({ id, name, variants }, text) =>
  !text || [id, name, ...variants.map((each) => each.name)].some((each) => each.toLowerCase().includes(text));

/** @param {(id: string) => void} choose */
function typeRow(choose) {
  const [name, id, chips] = [h("strong.clip"), h("code.faint.tiny.clip"), h("span.type-memory")];
  const [medium, state] = [h("span.type-medium"), h("span.status")];
  let own = "";
  const button = h(
    "button.type-row",
    { type: "button", on: { click: () => choose(own) } },
    medium,
    h("span.type-name", name, id),
    chips,
    state,
  );
  return {
    element: h("li", button),
    button,
    /** Scrolls it into view within the list. */
    show() {
      const list = button.closest("ul");
      if (list) list.scrollTop = Math.max(0, button.offsetTop - list.offsetTop - list.clientHeight / 3);
    },
    /** @param {boolean} isChosen */
    mark: (isChosen) => setAttribute(button, "aria-pressed", String(isChosen)),
    /** @param {API.Model} model */
    update(model) {
      own = model.id;
      setText(name, titled(model.name));
      setText(id, model.id);
      fill(chips, memoryChip(model));
      fill(medium, icon(model.type === "video" ? "film" : "image"));
      const [tone, sign] = STATES[stateOf(model)];
      setAttribute(state, "data-tone", tone);
      fill(state, icon(sign), labelFor("state", stateOf(model)));
    },
  };
}
