// Samples of the same prompts and seeds: rows are trainings, columns are prompts, a slider leads through saved models.

import { t } from "../../app/i18n.js";
import { fill, h, setText } from "../../ui/dom.js";
import { count, duration, figure } from "../../ui/format.js";
import { swatch } from "../../ui/icons.js";
import { openLightbox } from "../../ui/lightbox.js";
import { panel } from "../../ui/panel.js";
import { ratingText } from "../tasks/sample_model.js";
import { colourOf, nameOf } from "./state.js";

/** @typedef {API.Comparison["prompts"][number]} Prompt */
/** @typedef {Prompt["samples"][number][number]} Sample */

/** Samples whose position is unknown come last. @param {Sample} sample */
const placeOf = ({ x }) => x ?? Infinity;

/** @param {import("./state.js").Wanted} wanted @param {(change: {at: number|null}) => void} apply */
export function samplesView(wanted, apply) {
  /** @type {API.Comparison|null} */
  let shown = null;
  /** @type {number[]} */
  let places = [];
  let drawn = "";
  const body = h("div.table-scroll");
  const label = h("span.soft.small", { role: "status" });
  const slider = h("input.sample-slider", { type: "range", min: 0, step: 1, "aria-label": t("compare.slider") });
  slider.addEventListener("input", () => {
    const at = Number(slider.value);
    // At the end it stays at the latest saved model, also when there is a later one.
    apply({ at: at === places.length - 1 ? null : places[at] });
    draw();
  });
  const tools = h("div.tools", h("label.check", t("compare.slider"), slider), label);
  const more = h("p.faint.tiny", { hidden: true });
  const element = panel("sample-grid compare-samples", t("compare.samples"), tools, h("div.body.stack", body, more));

  /** The samples of each training at this position: those of its latest saved model until there. @param {number} at */
  function rowsAt(at) {
    const { trainings, prompts } = /** @type {API.Comparison} */ (shown);
    return trainings.map((training, y) => {
      const until = prompts.flatMap(({ samples }) => samples[y]).filter((sample) => placeOf(sample) <= at);
      const last = until.reduce(
        (/** @type {Sample|null} */ best, each) => (best && placeOf(best) > placeOf(each) ? best : each),
        null,
      );
      const cells = prompts.map(({ samples }) => samples[y].find(({ checkpoint }) => checkpoint === last?.checkpoint));
      return { training, place: y, last, cells: last ? cells : prompts.map(() => undefined) };
    });
  }

  function draw() {
    if (!shown) return;
    const { axis, prompts } = shown;
    const index = wanted.at === null ? places.length - 1 : places.findLastIndex((place) => place <= (wanted.at ?? 0));
    const at = places[Math.max(0, index)] ?? 0;
    slider.value = String(Math.max(0, index));
    const position = positionText(axis, at);
    slider.setAttribute("aria-valuetext", position);
    setText(label, position);
    const rows = rowsAt(at);
    const state = JSON.stringify([rows.map(({ training, cells }) => [nameOf(training), cells]), prompts.length]);
    if (state === drawn) return;
    drawn = state;
    const visible = rows.flatMap(({ training, cells }) =>
      cells.flatMap((sample, i) => (sample?.url ? [{ training, sample, prompt: prompts[i] }] : [])),
    );
    const open = (/** @type {Sample} */ sample) =>
      openLightbox(
        t("compare.samples"),
        visible.map(({ training, sample: each, prompt }) => ({
          url: each.url ?? "",
          file: `${training.task_id}-${each.checkpoint ?? "base"}.${(each.frames ?? 1) > 1 ? "webp" : "png"}`,
          alt: prompt.prompt,
          about: [h("b", nameOf(training)), ` ${each.checkpoint ?? t("grid.base")} `, prompt.prompt],
        })),
        visible.findIndex((each) => each.sample === sample),
      );
    const heads = prompts.map(({ prompt, seed }) =>
      h(
        "th",
        { scope: "col" },
        h("span.prompt.foreign", { title: prompt }, prompt),
        h("span.faint.tiny", t("grid.seed", { seed })),
      ),
    );
    const lines = rows.map(({ training, place, last, cells }) =>
      h(
        "tr",
        h(
          "th",
          { scope: "row" },
          h("span.figure-name", swatch(`var(${colourOf(place)})`), h("span.foreign", nameOf(training))),
          h("span.mono.tiny.faint", last ? (last.checkpoint ?? t("grid.base")) : ""),
        ),
        prompts.every(({ samples }) => !samples[place].length)
          ? h("td", { colspan: prompts.length }, cell(undefined, "", open))
          : cells.map((sample, i) => h("td", cell(sample, `${nameOf(training)}: ${prompts[i].prompt}`, open))),
      ),
    );
    fill(body, h("table", h("thead", h("tr", h("td"), heads)), h("tbody", lines)));
  }

  return {
    element,
    /** @param {API.Comparison} found */
    update(found) {
      // The service lists the latest first; here they stand in the order in which they were rendered.
      shown = { ...found, prompts: [...found.prompts].reverse() };
      const { prompts, prompts_total: total } = found;
      tools.hidden = prompts.length === 0;
      more.hidden = total <= prompts.length;
      setText(more, t("compare.samples.more", { n: count(total - prompts.length) }));
      if (!prompts.length) {
        drawn = "";
        return void fill(body, h("p.soft.small", t("compare.samples.none")));
      }
      const all = prompts.flatMap(({ samples }) => samples.flat().map(placeOf));
      places = [...new Set(all)].sort((a, b) => a - b);
      slider.max = String(places.length - 1);
      draw();
    },
  };
}

/** @param {API.Comparison["axis"]} axis @param {number} at */
function positionText(axis, at) {
  if (at === 0) return t("grid.base");
  if (!Number.isFinite(at)) return t("compare.last");
  const value = axis === "time" ? duration(at) : axis === "epoch" ? figure(at) : count(at);
  return `${t(`compare.axis.${axis}`)} ${value}`;
}

/** @param {Sample|undefined} sample @param {string} label @param {(sample: Sample) => void} open */
function cell(sample, label, open) {
  if (!sample) return h("p.faint.tiny.no-sample", t("compare.no.sample"));
  if (!sample.thumbnail) return h("p.bad.tiny.foreign.problem", { title: sample.problem }, sample.problem);
  return h(
    "button.sample-cell",
    { "aria-label": label, on: { click: () => open(sample) } },
    h("img", { src: sample.thumbnail, alt: "", loading: "lazy", decoding: "async" }),
    h("span.rating.tiny", ratingText(sample.rating)),
  );
}
