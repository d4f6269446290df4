// One slider over the saved models: all prompts of one model in a row, and where it stands on the loss curve.

import { t } from "../../app/i18n.js";
import { Chart, join } from "../../ui/chart.js";
import { fill, h, setText } from "../../ui/dom.js";
import { count, isKnown } from "../../ui/format.js";
import { scrollable } from "../../ui/scroll.js";
import { ratingText, rowName, SampleTable } from "./sample_model.js";
import { smooth } from "./series.js";

const WEIGHT = 0.8;

/**
 * @param {import("./series.js").SeriesStore} store
 * @param {(row: import("./sample_model.js").Row, column: string) => void} open
 */
export function sampleStrip(store, open) {
  let table = new SampleTable([], []);
  let at = -1;
  /** @type {API.Task|null} */
  let task = null;
  const range = h("input", { type: "range", min: 0, step: 1, id: "strip-model" });
  const name = h("b.mono");
  const row = scrollable(h("div.strip"));
  const unplaced = h("p.faint.small");
  const chart = new Chart({
    label: t("loss"),
    height: 11,
    xLabel: t("step"),
    showX: count,
    series: [
      { label: t("loss.per_step"), colour: "--series-1", faint: true },
      { label: t("loss.smooth"), colour: "--series-1" },
      { label: t("grid.model"), colour: "--series-2", dots: true },
    ],
  });
  const element = h(
    "div.stack.sample-strip",
    h("div.strip-head", h("label", { for: range.id }, t("grid.model")), range, name),
    row,
    chart.element,
    unplaced,
  );
  let drawn = "";

  function draw() {
    if (at < 0) return;
    const model = table.rows[at];
    range.value = String(at);
    range.setAttribute("aria-valuetext", rowName(model));
    setText(name, rowName(model));
    const samples = table.columns.flatMap((column) => {
      const sample = table.at(model, column);
      return sample ? [{ sample, column }] : [];
    });
    const state = JSON.stringify(samples.map(({ sample }) => [sample.sample_id, sample.thumbnail, sample.rating]));
    if (state !== drawn) {
      drawn = state;
      fill(
        row,
        samples.map(({ sample, column }) => picture(sample, () => open(model, column.key))),
      );
      preload();
    }
    const step = model === null ? 0 : stepOf(model, task);
    const loss = store.values("loss");
    const smoothed = smooth(loss, WEIGHT);
    const [value] = [...smoothed].filter(([each]) => isKnown(step) && each <= step).slice(-1);
    chart.mark(isKnown(step) ? [{ x: step, label: rowName(model) }] : []);
    chart.set(join([loss, smoothed, new Map(value ? [value] : [])]));
    chart.element.hidden = loss.size === 0;
    setText(unplaced, isKnown(step) || !loss.size ? "" : t("strip.unplaced"));
  }

  /** The neighbours' pictures, so that the slider shows them at once. */
  function preload() {
    for (const model of [table.rows[at - 1], table.rows[at + 1]]) {
      if (model === undefined) continue;
      for (const column of table.columns) {
        const address = large(table.at(model, column));
        if (address) new Image().src = address;
      }
    }
  }

  range.addEventListener("input", () => {
    at = range.valueAsNumber;
    draw();
  });
  return {
    element,
    /** @param {SampleTable} next @param {API.Task|null} of */
    update(next, of) {
      const shown = table.rows[at];
      const isAtEnd = at === table.rows.length - 1;
      [table, task] = [next, of];
      const last = table.rows.length - 1;
      range.max = String(Math.max(0, last));
      const same = table.rows.indexOf(shown);
      at = isAtEnd || same < 0 ? last : same;
      draw();
    },
    draw,
    close: () => chart.close(),
  };
}

/** @param {API.GridSample|undefined} sample */
const large = (sample) => (sample?.thumbnail ? `${sample.thumbnail}&size=512` : null);

/** @param {API.GridSample} sample @param {() => void} open */
function picture(sample, open) {
  const source = large(sample);
  return h(
    "figure",
    source
      ? h(
          "button.sample-cell",
          { type: "button", "aria-label": `${rowName(sample.checkpoint)}: ${sample.prompt}`, on: { click: open } },
          h("img", { src: source, alt: "", decoding: "async" }),
          h("span.rating.tiny", ratingText(sample.rating)),
        )
      : h("p.bad.tiny.foreign.problem", sample.problem),
    h("figcaption.tiny.soft.foreign.prompt", { title: sample.prompt }, sample.prompt),
  );
}

/** The step at which a model was saved, or null if it is not known. @param {string} name @param {API.Task|null} task */
function stepOf(name, task) {
  const found = /^(epoch|step)(\d+)$/.exec(name);
  if (!found) return null;
  const every = found[1] === "step" ? 1 : task?.progress.steps_per_epoch;
  return isKnown(every) ? Number(found[2]) * every : null;
}
