// The figures of the trainings, and their settings.

import { t } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { fill, h, setText } from "../../ui/dom.js";
import { count, duration, figure, isKnown, UNKNOWN } from "../../ui/format.js";
import { icon, swatch } from "../../ui/icons.js";
import { panel } from "../../ui/panel.js";
import { stackedTable } from "../../ui/states.js";
import { statusChip } from "../../ui/status.js";
import { headings, table } from "../../ui/table.js";
import { colourOf, LEAST, nameOf } from "./state.js";

/** @typedef {API.Comparison["trainings"][number]} Training */

/** @type {WordKey[]} */
const HEADS = [
  "tasktype.training",
  "status",
  "compare.steps",
  "duration",
  "compare.pace",
  "loss",
  "compare.metric.eval_loss",
  "gpus",
  "nav.data",
];

/** @param {(id: string) => void} leaveOut removes a training from the comparison */
export function figuresView(leaveOut) {
  const body = h("div");
  let drawn = "";
  return {
    element: panel("figures", t("compare.figures"), null, body),
    /** @param {API.Comparison} found */
    update({ trainings }) {
      const state = JSON.stringify(trainings);
      if (state === drawn) return;
      drawn = state;
      const rows = trainings.map((training, place) => row(training, place, trainings.length > LEAST && leaveOut));
      fill(body, stackedTable(headings(...HEADS), rows, "figure-table"));
    },
  };
}

/** @param {Training} training @param {number} place @param {false|((id: string) => void)} leaveOut */
function row(training, place, leaveOut) {
  const chip = statusChip("task");
  chip.update(training.status);
  const [loss, ...evaluations] = training.losses;
  const name = nameOf(training);
  const pace = training.seconds_per_step;
  return h(
    "tr",
    h(
      "td",
      h(
        "span.figure-name",
        swatch(`var(${colourOf(place)})`),
        h("a.foreign", { href: taskAddress(training.task_id) }, name),
        leaveOut &&
          h(
            "button.text-button",
            { "aria-label": t("compare.remove", { name }), on: { click: () => leaveOut(training.task_id) } },
            icon("close"),
          ),
      ),
      h("span.faint.tiny", training.model_type),
    ),
    h("td", chip.element),
    h("td.num", isKnown(training.step) ? `${count(training.step)} / ${count(training.total_steps)}` : UNKNOWN),
    h("td.num", duration(training.duration)),
    h("td.num", isKnown(pace) ? `${figure(pace)} ${t("unit.s")}` : UNKNOWN),
    h("td.num", lossText(loss)),
    h(
      "td.num",
      evaluations.length
        ? evaluations.map((each) =>
            h("div", evaluations.length > 1 && h("span.faint.tiny.foreign", `${each.metric} `), lossText(each)),
          )
        : UNKNOWN,
    ),
    h("td", gpuText(training)),
    h("td.foreign", training.datasets.map(({ dataset, version }) => `${dataset}@${version}`).join(", ") || UNKNOWN),
  );
}

/** @param {Training["losses"][number]|undefined} loss @returns {Child} */
function lossText(loss) {
  if (!loss || !isKnown(loss.last)) return UNKNOWN;
  const lowest = t("compare.lowest", { value: figure(loss.lowest), step: count(loss.lowest_step) });
  return [figure(loss.last), h("span.faint.tiny.lowest", lowest)];
}

/** @param {Training} training */
function gpuText({ gpu_count: number, gpu_names: names }) {
  const known = [...new Set(names.map((name) => name ?? t("unknown")))];
  return known.length ? `${count(names.length)} × ${known.join(", ")}` : count(number);
}

/** @param {import("./state.js").Wanted} wanted @param {(change: {showsAll: boolean}) => void} apply */
export function settingsView(wanted, apply) {
  /** @type {API.Comparison|null} */
  let shown = null;
  let drawn = "";
  const only = h("input.switch", { type: "checkbox", role: "switch", checked: !wanted.showsAll });
  only.addEventListener("change", () => {
    apply({ showsAll: !only.checked });
    draw();
  });
  const [total, body] = [h("span.count-badge"), h("div.body")];
  const tools = h("div.tools", h("label.check", t("compare.only"), only));

  function draw() {
    if (!shown) return;
    const { trainings, settings, settings_total: all } = shown;
    const differing = settings.filter(({ differs }) => differs);
    const rows = wanted.showsAll ? settings : differing;
    setText(total, count(differing.length));
    const state = JSON.stringify([rows, trainings.map(nameOf), all]);
    if (state === drawn) return;
    drawn = state;
    if (!rows.length) return void fill(body, h("p.soft.small", t("compare.same")));
    const heads = [t("compare.setting"), ...trainings.map(nameOf)];
    const lines = rows.map(({ pointer, values, differs }) =>
      h(
        "tr",
        { data: { differs: wanted.showsAll && differs ? "yes" : "" } },
        h(
          "th",
          { scope: "row" },
          ADDED[pointer] ? t(ADDED[pointer]) : h("code.foreign", { title: pointer }, shortPointer(pointer)),
        ),
        values.map((value) => h("td.foreign", valueText(value))),
      ),
    );
    fill(
      body,
      table(heads, lines, "setting-table"),
      all > settings.length && h("p.faint.tiny", t("compare.more", { n: count(all - settings.length) })),
    );
  }

  return {
    element: panel("settings", t("compare.settings"), [total, tools], body),
    /** @param {API.Comparison} found */
    update(found) {
      shown = found;
      only.checked = !wanted.showsAll;
      draw();
    },
  };
}

/** What the service adds to the settings of the trainer. @type {Record<string, WordKey>} */
const ADDED = {
  "/model_type": "compare.model_type",
  "/base_model": "grid.base",
  "/environment/trainer_commit": "compare.commit",
  "/environment/torch": "compare.torch",
  "/environment/gpus": "gpus",
};

/** `optimizer.lr` for `/config/optimizer/lr`. @param {string} pointer */
const shortPointer = (pointer) =>
  pointer
    .replace(/^\/(config\/)?/, "")
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .join(".");

/** @param {unknown} value */
function valueText(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (Array.isArray(value))
    return value.every((each) => typeof each === "string") ? value.join(", ") : JSON.stringify(value);
  // Without the rounding error of 0.1 + 0.2.
  if (typeof value === "number") return String(Number(value.toPrecision(12)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
