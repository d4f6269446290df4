// The details of a model type: abilities, variants, and downloads.

import { labelFor, t } from "../../app/i18n.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { bytes } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { attempt } from "../../ui/toast.js";
import { downloadLabel, downloadMissing } from "./download_start.js";
import { downloadList } from "./downloads.js";
import { missingOf, publishedSize, STATES, stateOfVariant } from "./state.js";
import { titled } from "./titles.js";

/**
 * @param {import("./downloads.js").Downloads} downloads
 * @param {(variant: API.Variant) => void} chosen called when the user chooses one
 */
export function variantView(downloads, chosen) {
  /** @type {API.Model|null} */
  let model = null;
  /** @type {API.Variant|null} */
  let variant = null;
  const [tabs, noteBox, parts, foot] = [
    h("div", { class: "variant-tabs" }),
    h("div"),
    h("div"),
    h("div", { class: "variant-foot" }),
  ];
  const isOurs = (/** @type {API.Download} */ each) =>
    each.model_id === model?.id &&
    each.version === variant?.id &&
    each.status !== "completed" &&
    each.status !== "cancelled";
  const running = downloadList(downloads, isOurs);
  const forget = downloads.shown.watch(() => showFoot());

  function showFoot() {
    if (!model || !variant) return;
    const [name, one] = [model.id, variant];
    const missing = missingOf(one);
    const canDownload = missing.some(({ files }) => files.length) && !downloads.shown.value.some(isOurs);
    const start = () => attempt(() => downloadMissing(name, one, downloads.refetch));
    fill(
      foot,
      missing.length > 0 &&
        h("span", { class: "small soft" }, t("variant.missing", { n: missing.length, total: one.components.length })),
      canDownload &&
        h("button", { class: "button", type: "button", on: { click: start } }, icon("down"), downloadLabel(one)),
    );
  }

  /** @param {API.Variant} each */
  function tab(each) {
    const [tone, sign] = STATES[stateOfVariant(each)];
    return h(
      "button",
      {
        type: "button",
        class: "variant-tab",
        data: { tone },
        "aria-pressed": String(each.id === variant?.id),
        on: {
          click: () => {
            if (model) update(model, each.id);
            chosen(each);
          },
        },
      },
      icon(sign),
      titled(each.name),
      h("span", { class: "visually-hidden" }, labelFor("state", stateOfVariant(each))),
    );
  }

  /** @param {API.Model} next @param {string} id of the variant */
  function update(next, id) {
    const hadFocus = tabs.contains(document.activeElement);
    model = next;
    variant = next.variants.find((each) => each.id === id) ?? next.variants[0];
    fill(tabs, next.variants.length > 1 && next.variants.map(tab));
    if (hadFocus) /** @type {HTMLElement|null} */ (tabs.querySelector("[aria-pressed=true]"))?.focus();
    fill(noteBox, variant.note && h("p", { class: "small soft" }, titled(variant.note)));
    fill(parts, componentList(variant.components));
    running.draw();
    showFoot();
  }

  return {
    element: h("div", { class: "stack variant-view" }, tabs, noteBox, parts, running.element, foot),
    update,
    get variant() {
      return variant;
    },
    close() {
      running.close();
      forget();
    },
  };
}

/** Abilities and requirements of a type. @param {API.Model} model @returns {HTMLElement} */
export function abilities(model) {
  const swap = model.max_blocks_to_swap;
  const list = h(
    "div",
    { class: "fact-chips" },
    memoryChip(model),
    chip("LoRA", model.supports_lora),
    chip(t("ability.full"), model.supports_full_finetune),
    chip("float8", model.supports_fp8),
    chip(swap ? t("ability.swap.most", { n: swap }) : t("ability.swap"), model.supports_block_swap),
  );
  setAttribute(list, "aria-label", t("abilities"));
  return list;
}

/** @param {string} text @param {boolean} can */
const chip = (text, can) =>
  h(
    "span",
    { class: `fact-chip${can ? "" : " cannot"}` },
    icon(can ? "check" : "close"),
    text,
    !can && h("span", { class: "visually-hidden" }, t("ability.no")),
  );

/** @param {API.Model} model */
export function memoryChip({ min_vram_gb: least, recommended_vram_gb: good, vram_note: noteBox }) {
  const text = least ?? good;
  const caption = text == null ? t("vram.unknown") : t("vram.from", { gb: text });
  return h("span", { class: "fact-chip", title: noteBox && titled(noteBox) }, icon("gpu"), caption);
}

/** @param {API.Component[]} components @returns {HTMLElement} */
const componentList = (components) => h("ul", { class: "component-list" }, components.map(row));

/** @param {API.Component} component */
function row(component) {
  const { name, key, present, path, problem, size, files } = component;
  const [tone, sign] = present
    ? /** @type {const} */ (["ok", "check"])
    : /** @type {const} */ ([problem ? "bad" : "idle", problem ? "cross" : "circle"]);
  const sizeText = present ? bytes(size) : (publishedSize(files[0]?.size_gb) ?? t("size.unknown"));
  return h(
    "li",
    { class: "component", data: { tone } },
    h("span", { class: "component-sign" }, icon(sign)),
    h(
      "div",
      { class: "grow" },
      h(
        "p",
        { class: "component-name" },
        h("strong", {}, titled(name)),
        h("code", { class: "faint tiny" }, key),
        chips(component),
      ),
      path && h("p", { class: "mono tiny soft foreign component-path", title: path }, path),
      problem && h("p", { class: "small bad" }, t("component.problem", { problem })),
      !present && source(component),
    ),
    h("span", { class: "small num nowrap soft" }, sizeText),
  );
}

/** @param {API.Component} component */
function source({ files }) {
  const [first] = files;
  if (!first) return h("p", { class: "small soft" }, t("component.by_hand"));
  return h("p", { class: "mono tiny soft foreign component-path" }, first.repository, " : ", first.path || "*");
}

/** Facts to know before a download. @param {API.Component} component @returns {Child} */
function chips({ present, gated, license, is_pickle: isPickle }) {
  if (present) return null;
  return [
    license && h("span", { class: "fact-chip", title: t("license") }, license),
    gated &&
      h("span", { class: "fact-chip", data: { tone: "warn" }, title: t("gated.text") }, icon("lock"), t("gated")),
    isPickle &&
      h("span", { class: "fact-chip", data: { tone: "warn" }, title: t("pickle.text") }, icon("warn"), t("pickle")),
  ];
}
