// One model type in full: what it can do, its variants, what of each is here, and the way to the rest.

import { t, word } from "../../app/i18n.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { attempt } from "../../ui/toast.js";
import { componentList } from "./components.js";
import { downloadLabel, downloadMissing } from "./download_start.js";
import { downloadList } from "./downloads.js";
import { missingOf, STATES, stateOfVariant } from "./state.js";
import { titled } from "./titles.js";

/**
 * @param {import("./downloads.js").Downloads} downloads
 * @param {(variant: API.Variant) => void} chosen called when one is chosen by hand
 */
export function variantView(downloads, chosen) {
  /** @type {API.Model|null} */
  let model = null;
  /** @type {API.Variant|null} */
  let variant = null;
  const [tabs, told, parts, foot] = [
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
      h("span", { class: "visually-hidden" }, word("state", stateOfVariant(each))),
    );
  }

  /** @param {API.Model} next @param {string} id of the variant */
  function update(next, id) {
    const hadFocus = tabs.contains(document.activeElement);
    model = next;
    variant = next.variants.find((each) => each.id === id) ?? next.variants[0];
    fill(tabs, next.variants.length > 1 && next.variants.map(tab));
    if (hadFocus) /** @type {HTMLElement|null} */ (tabs.querySelector("[aria-pressed=true]"))?.focus();
    fill(told, variant.note && h("p", { class: "small soft" }, titled(variant.note)));
    fill(parts, componentList(variant.components));
    running.draw();
    showFoot();
  }

  return {
    element: h("div", { class: "stack variant-view" }, tabs, told, parts, running.element, foot),
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

/** What a type can do, and what it needs. @param {API.Model} model @returns {HTMLElement} */
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
export function memoryChip({ min_vram_gb: least, recommended_vram_gb: good, vram_note: told }) {
  const text = least ?? good;
  const words = text == null ? t("vram.unknown") : t("vram.from", { gb: text });
  return h("span", { class: "fact-chip", title: told && titled(told) }, icon("gpu"), words);
}
