// The ranking of saved models by the ratings of their samples, and how certain it is.

import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { isKnown } from "../../ui/format.js";
import { rowName } from "./sample_model.js";

const MAX_RATING = 5;
const MAX_NAMES = 5;

/** @param {string} taskId */
export function sampleRanking(taskId) {
  const body = h("div.stack");
  const element = h(
    "section.panel.sample-ranking",
    { "aria-label": t("ranking"), hidden: true },
    h("header", h("h2", t("ranking"))),
    h("div.body", body),
  );
  let drawn = "";
  return {
    element,
    async load() {
      const found = await api.sampleRanking(taskId);
      const state = JSON.stringify(found);
      if (state === drawn) return;
      drawn = state;
      const rated = found.models.filter(({ rank }) => rank !== null);
      element.hidden = rated.length === 0;
      fill(body, h("p", verdict(found.verdict, rated)), table(rated), h("p.faint.tiny", t("ranking.hint")));
    },
  };
}

/** @param {string} verdict @param {API.RankedModel[]} rated best first */
function verdict(verdict, rated) {
  const equal = rated.slice(1).filter(({ is_worse: isWorse }) => isWorse === false);
  const name = rowName(rated[0]?.checkpoint ?? null);
  const others = equal.slice(0, MAX_NAMES).map(({ checkpoint }) => rowName(checkpoint));
  if (equal.length > MAX_NAMES) others.push("…");
  if (verdict === "clear") return t("ranking.clear", { name });
  if (verdict !== "uncertain") return t("ranking.few");
  const isAllRated = [rated[0], ...equal].every(({ rated: count, samples }) => count === samples);
  return t(isAllRated ? "ranking.uncertain.all" : "ranking.uncertain", { name, others: others.join(t("list.comma")) });
}

/** @param {API.RankedModel[]} rated */
function table(rated) {
  const row = (/** @type {API.RankedModel} */ model) => {
    const { rank, checkpoint, samples, rated: count, rejected, mean, score, low, high, is_worse: isWorse } = model;
    const judged = isWorse === null ? "" : t(isWorse ? "ranking.worse" : "ranking.unsure");
    return h(
      "tr",
      h("td.num", rank),
      h("td.mono", rowName(checkpoint)),
      h("td.num", mean?.toFixed(1)),
      h("td.interval-cell", interval(low, high, score)),
      h("td.num", t("ranking.of", { n: count, total: samples })),
      h("td.num", rejected || ""),
      h("td.soft", judged),
    );
  };
  const heads = [
    h("th.num", "#"),
    h("th", t("ranking.model")),
    h("th.num", t("ranking.mean")),
    h("th", t("ranking.range")),
    h("th.num", t("ranking.rated")),
    h("th.num", t("ranking.rejected")),
    h("th", t("ranking.judged")),
  ];
  return h(
    "div.table-scroll",
    { tabindex: 0 },
    h("table.table", h("thead", h("tr", heads)), h("tbody", rated.map(row))),
  );
}

/** @param {number|null} low @param {number|null} high @param {number|null} score */
function interval(low, high, score) {
  if (!isKnown(low) || !isKnown(high) || !isKnown(score)) return null;
  const [bar, point] = [h("span.likely"), h("span.point")];
  bar.style.left = `${(100 * low) / MAX_RATING}%`;
  bar.style.width = `${(100 * (high - low)) / MAX_RATING}%`;
  point.style.left = `${(100 * score) / MAX_RATING}%`;
  return [h("span.interval", { "aria-hidden": "true" }, bar, point), `${low.toFixed(1)} – ${high.toFixed(1)}`];
}
