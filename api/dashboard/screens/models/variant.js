// The details of a model type: abilities, variants, and downloads.

import { whyNot } from "../../app/access.js";
import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { labelFor, t } from "../../app/i18n.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { bytes } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { attempt, toast } from "../../ui/toast.js";
import { downloadList } from "./downloads.js";
import { missingOf, publishedSize, STATES, stateOfVariant, sumOf } from "./state.js";
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
  const [tabs, noteBox, parts, foot] = [h("div.variant-tabs"), h("div"), h("div"), h("div.variant-foot")];
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
        h("span.small.soft", t("variant.missing", { n: missing.length, total: one.components.length })),
      canDownload && h("button.button", { type: "button", on: { click: start } }, icon("down"), downloadLabel(one)),
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
      h("span.visually-hidden", labelFor("state", stateOfVariant(each))),
    );
  }

  /** @param {API.Model} next @param {string} id of the variant */
  function update(next, id) {
    const hadFocus = tabs.contains(document.activeElement);
    model = next;
    variant = next.variants.find((each) => each.id === id) ?? next.variants[0];
    fill(tabs, next.variants.length > 1 && next.variants.map(tab));
    if (hadFocus) /** @type {HTMLElement|null} */ (tabs.querySelector("[aria-pressed=true]"))?.focus();
    fill(noteBox, variant.note && h("p.small.soft", titled(variant.note)));
    fill(parts, componentList(variant.components));
    running.draw();
    showFoot();
  }

  return {
    element: h("div.stack.variant-view", tabs, noteBox, parts, running.element, foot),
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
    "div.fact-chips",
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
    !can && h("span.visually-hidden", t("ability.no")),
  );

/** @param {API.Model} model */
export function memoryChip({ min_vram_gb: least, recommended_vram_gb: good, vram_note: noteBox }) {
  const text = least ?? good;
  const caption = text == null ? t("vram.unknown") : t("vram.from", { gb: text });
  return h("span.fact-chip", { title: noteBox && titled(noteBox) }, icon("gpu"), caption);
}

/** @param {API.Component[]} components @returns {HTMLElement} */
const componentList = (components) => h("ul.component-list", components.map(row));

/** @param {API.Component} component */
function row(component) {
  const { name, key, present, path, problem, size, files } = component;
  const [tone, sign] = present
    ? /** @type {const} */ (["ok", "check"])
    : /** @type {const} */ ([problem ? "bad" : "idle", problem ? "cross" : "circle"]);
  const sizeText = present ? bytes(size) : (publishedSize(files[0]?.size_gb) ?? t("size.unknown"));
  return h(
    "li.component",
    { data: { tone } },
    h("span.component-sign", icon(sign)),
    h(
      "div.grow",
      h("p.component-name", h("strong", titled(name)), h("code.faint.tiny", key), chips(component)),
      path && h("p.mono.tiny.soft.foreign.component-path", { title: path }, path),
      problem && h("p.small.bad", t("component.problem", { problem })),
      !present && source(component),
    ),
    h("span.small.num.nowrap.soft", sizeText),
  );
}

/** @param {API.Component} component */
function source({ files }) {
  const [first] = files;
  if (!first) return h("p.small.soft", t("component.by_hand"));
  return h("p.mono.tiny.soft.foreign.component-path", first.repository, " : ", first.path || "*");
}

/** Facts to know before a download. @param {API.Component} component @returns {Child} */
function chips({ present, gated, license, is_pickle: isPickle }) {
  if (present) return null;
  return [
    license && h("span.fact-chip", { title: t("license") }, license),
    gated && h("span.fact-chip", { data: { tone: "warn" }, title: t("gated.text") }, icon("lock"), t("gated")),
    isPickle && h("span.fact-chip", { data: { tone: "warn" }, title: t("pickle.text") }, icon("warn"), t("pickle")),
  ];
}

/**
 * Downloads missing parts; isRequired first if a licence must be accepted.
 * @param {string} model @param {API.Variant} variant @param {() => unknown} started
 */
async function downloadMissing(model, variant, started) {
  const why = whyNot("models:write");
  if (why) return toast("bad", why);
  const missing = missingOf(variant);
  const order = {
    model_id: /** @type {API.DownloadRequest["model_id"]} */ (model),
    version: variant.id,
    components: [...new Set(missing.map(({ key }) => key))],
  };
  if (missing.some(({ gated }) => gated)) return askForToken(order, missing, started);
  await models.download(order, newKey());
  started();
}

/** The label of the button: Download 23.8 GB @param {API.Variant} variant */
function downloadLabel(variant) {
  const { gb, isWhole } = sumOf(missingOf(variant));
  if (!gb) return t("download.do");
  return t(isWhole ? "download.do.size" : "download.do.least", { size: publishedSize(gb) ?? "" });
}

/** @param {API.DownloadRequest} order @param {API.Component[]} missing @param {() => unknown} started */
async function askForToken(order, missing, started) {
  const token = h("input.input", {
    id: "hub-token",
    type: "password",
    autocomplete: "off",
    autofocus: true,
    placeholder: "hf_…",
  });
  const key = newKey();
  const repositories = [...new Set(missing.filter(({ gated }) => gated).map(({ repository }) => repository))];
  const { askForm } = await import("../../ui/form_dialog.js");
  const made = await askForm({
    title: t("gated.title"),
    content: [
      h("p.soft", t("gated.text")),
      h(
        "ul.stack",
        repositories.map((each) => h("li", h("code.foreign", each))),
      ),
      h("div.field", h("label", { for: "hub-token" }, t("hub.token")), token, h("p.faint.tiny", t("hub.token.text"))),
    ],
    action: [icon("down"), t("download.do")],
    run: () => models.download({ ...order, ...(token.value.trim() ? { token: token.value.trim() } : {}) }, key),
  });
  if (made) started();
}
