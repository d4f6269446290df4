// Several values for settings of a new training: every combination becomes one training of a sweep.

import { t } from "../../app/i18n.js";
import { fill, h, setText } from "../../ui/dom.js";
import { selectInput, textInput } from "../../ui/fields.js";
import { icon } from "../../ui/icons.js";
import { pointerLabel, readValue, showValue } from "./draft.js";
import { findingItem, placeFindings } from "./findings.js";

/** A setting and its values as typed. @typedef {{pointer: string, text: string}} Varied */
/** What is stored with a draft. @typedef {{varied: Varied[], isEarly: boolean}} VariedDraft */

const OTHER = "";

/** Settings that are tried most. */
const COMMON = [
  "/config/optimizer/lr",
  "/config/adapter/rank",
  "/config/epochs",
  "/config/micro_batch_size_per_gpu",
  "/dataset/directories/0/dataset",
];

/** @param {string} pointer a JSON pointer as a key of another one */
const escaped = (pointer) => pointer.replaceAll("~", "~0").replaceAll("/", "~1");

/**
 * Typed values: JSON where possible, otherwise texts by comma.
 * @param {string} text @returns {unknown[]}
 */
function readValues(text) {
  // A Chinese keyboard writes its own comma.
  const plain = (text.includes('"') ? text : text.replaceAll("，", ",")).trim().replace(/,$/, "");
  if (!plain) return [];
  try {
    return /** @type {unknown[]} */ (readValue(`[${plain}]`));
  } catch {
    return plain.split(",").flatMap((each) => (each.trim() ? [readOne(each.trim())] : []));
  }
}

/** @param {string} text */
function readOne(text) {
  try {
    return readValue(text);
  } catch {
    return text;
  }
}

/** @param {() => void} changed */
export function varySection(changed) {
  /** @type {Varied[]} */
  let varied = [];
  const rows = h("div.stack");
  const [said, total] = [h("span.small.soft.foreign"), h("p.small")];
  const early = h("input", { type: "checkbox", id: "sweep-early" });
  const wrong = h("ul.findings");
  const add = h("button.button.small", { type: "button", on: { click: () => addRow() } }, icon("plus"), t("sweep.add"));
  const earlyPart = h(
    "div",
    h("label.check", { for: "sweep-early" }, early, t("sweep.early")),
    h("p.faint.tiny", t("sweep.early.hint")),
  );
  const element = h(
    "details.fold.step-fold",
    h("summary", h("strong", t("sweep.try")), said),
    h("div.step-body", h("p.soft.small", t("sweep.try.hint")), rows, wrong, h("div", add), total, earlyPart),
  );

  const used = () => varied.filter(({ pointer, text }) => pointer.startsWith("/") && readValues(text).length > 0);
  const number = () => used().reduce((product, { text }) => product * readValues(text).length, 1);

  function showSaid() {
    const own = used();
    setText(said, own.map(({ pointer, text }) => `${pointerLabel(pointer)}: ${text}`).join(" · "));
    setText(total, own.length ? t("sweep.total", { n: number() }) : "");
    earlyPart.hidden = own.length === 0;
  }

  /** @param {Varied} one @param {number} at */
  function row(one, at) {
    const setting = selectInput(
      [
        ...COMMON.map((each) => /** @type {[string, string]} */ ([each, pointerLabel(each)])),
        [OTHER, t("sweep.other")],
      ],
      { "aria-label": t("sweep.setting") },
      COMMON.includes(one.pointer) ? one.pointer : OTHER,
    );
    const pointer = textInput({
      "aria-label": t("sweep.pointer"),
      placeholder: "/config/optimizer/weight_decay",
      spellcheck: "false",
      class: "input mono",
      hidden: COMMON.includes(one.pointer),
      value: one.pointer,
    });
    const values = textInput({
      id: `sweep-values-${at}`,
      "aria-label": t("sweep.values.of", { name: one.pointer ? pointerLabel(one.pointer) : t("sweep.other") }),
      placeholder: one.pointer.startsWith("/dataset/") ? "cats@1, cats@2" : t("sweep.values.example"),
      spellcheck: "false",
      class: "input mono grow",
      value: one.text,
    });
    setting.addEventListener("change", () => {
      one.pointer = setting.value;
      draw();
      document.getElementById(`sweep-values-${at}`)?.focus();
    });
    pointer.addEventListener("input", () => {
      one.pointer = pointer.value.trim();
      showSaid();
    });
    values.addEventListener("input", () => {
      one.text = values.value;
      showSaid();
    });
    const label = t("sweep.remove");
    const drop = h("button.button.small", { type: "button", "aria-label": label, title: label }, icon("close"));
    drop.addEventListener("click", () => {
      varied = varied.filter((each) => each !== one);
      draw();
      changed();
    });
    return h("div.vary-row", setting, pointer, values, drop);
  }

  function draw() {
    fill(rows, varied.map(row));
    showSaid();
  }

  /** @param {string} [pointer] @param {unknown} [value] the value that the request has */
  function addRow(pointer, value) {
    element.open = true;
    let at = varied.findIndex((each) => each.pointer === pointer);
    if (at < 0) {
      const free = COMMON.find((each) => !varied.some((one) => one.pointer === each)) ?? "";
      const text = value === undefined ? "" : `${showValue(value)}, `;
      at = varied.push({ pointer: pointer ?? free, text }) - 1;
      draw();
      changed();
    }
    const input = document.getElementById(`sweep-values-${at}`);
    input?.scrollIntoView({ block: "center" });
    input?.focus();
  }

  draw();
  return {
    element,
    addRow,
    /** Number of trainings; 0 if no setting has several values. */
    get number() {
      return used().length ? number() : 0;
    },
    /** @returns {VariedDraft} */
    get stored() {
      return { varied, isEarly: early.checked };
    },
    /** @param {VariedDraft|null|undefined} stored */
    choose(stored) {
      varied = stored?.varied ?? [];
      early.checked = stored?.isEarly ?? false;
      element.open = varied.length > 0;
      draw();
    },
    /** The part of a request for a sweep. */
    toRequest: () => ({
      values: Object.fromEntries(used().map(({ pointer, text }) => [pointer, readValues(text)])),
      ...(early.checked ? { early_stop: {} } : {}),
    }),
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const pointers = varied.flatMap(({ pointer }) => [pointer, `/values/${escaped(pointer)}`]);
      const own = findings.filter(
        ({ pointer }) => pointer === "/values" || pointer.startsWith("/values/") || pointers.includes(pointer),
      );
      fill(
        wrong,
        own.map((finding) => findingItem(finding, "", null)),
      );
      return placeFindings(own, element);
    },
  };
}
