// Clauses of rules, `metric >= 5` or `metric >= other - 5`: read, written, and as rows of a form.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";

const COMPARISONS = [">=", ">", "<=", "<", "==", "!="];
const FORM = /^(\w+) (>=|<=|==|!=|>|<) (?:(-?[\d.]+)|(\w+)(?: ([+-]) ([\d.]+))?)$/;

/** `of` is the other metric; empty: a number alone. @typedef {{metric: string, compare: string, value: number, of: string}} Clause */

/** @param {string} text @returns {Clause|null} */
export function parseClause(text) {
  const found = FORM.exec(text.trim());
  if (!found) return null;
  const [, metric, compare, number, of = "", sign = "+", offset = "0"] = found;
  return { metric, compare, of, value: of ? Number(`${sign}${offset}`) : Number(number) };
}

/** @param {Clause} clause */
export function clauseText({ metric, compare, value, of }) {
  if (!of) return `${metric} ${compare} ${value}`;
  return `${metric} ${compare} ${of}${value ? ` ${value > 0 ? "+" : "-"} ${Math.abs(value)}` : ""}`;
}

/**
 * Rows of clauses. `metrics` are those of the rule's scope, asked for when a row is drawn.
 * @param {string} label @param {() => readonly API.AlertMetric[]} metrics @param {() => void} changed
 */
export function clauseFields(label, metrics, changed) {
  const rows = h("div", { class: "stack tight" });
  /** @type {{element: HTMLElement, value: () => Clause}[]} */
  let all = [];

  /** @param {Clause} clause */
  function add(clause) {
    const known = metrics();
    /** @param {string} chosen @param {Child} [first] */
    const options = (chosen, first) => [
      first,
      known.map(({ name, unit }) =>
        h("option", { value: name, selected: name === chosen }, unit ? `${name} (${unit})` : name),
      ),
    ];
    const metric = h("select", { class: "input", "aria-label": t("clause.metric") }, options(clause.metric));
    const compare = h(
      "select",
      { class: "input", "aria-label": t("clause.compare") },
      COMPARISONS.map((value) => h("option", { value, selected: value === clause.compare }, value)),
    );
    const of = h(
      "select",
      { class: "input", "aria-label": t("clause.of") },
      options(clause.of, h("option", { value: "" }, t("clause.number"))),
    );
    const value = h("input", {
      class: "input",
      type: "number",
      step: "any",
      required: true,
      value: clause.value,
      "aria-label": t("clause.value"),
    });
    const remove = h(
      "button",
      {
        class: "icon-button small",
        type: "button",
        "aria-label": t("clause.remove"),
        on: {
          click: () => {
            all = all.filter((each) => each !== row);
            show();
            changed();
          },
        },
      },
      icon("close"),
    );
    const row = {
      element: h("div", { class: "clause-row" }, metric, compare, of, value, remove),
      value: () => ({ metric: metric.value, compare: compare.value, of: of.value, value: value.valueAsNumber || 0 }),
    };
    all.push(row);
  }

  const show = () =>
    fill(
      rows,
      all.map(({ element }) => element),
    );

  const more = h(
    "button",
    {
      class: "button small",
      type: "button",
      on: {
        click: () => {
          add({ metric: metrics()[0]?.name ?? "", compare: ">=", of: "", value: 0 });
          show();
          changed();
        },
      },
    },
    icon("plus"),
    t("clause.add"),
  );
  return {
    element: h("fieldset", { class: "stack tight" }, h("legend", { class: "label" }, label), rows, h("div", {}, more)),
    /** @param {readonly string[]} texts */
    set(texts) {
      all = [];
      for (const text of texts) {
        const clause = parseClause(text);
        if (clause) add(clause);
      }
      show();
    },
    /** @returns {string[]} */
    values: () => all.map((row) => clauseText(row.value())),
  };
}
