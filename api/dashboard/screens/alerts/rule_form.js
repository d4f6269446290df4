// The form of a rule. For a built-in rule only the threshold and the notification can be changed.

import { labelFor, t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { field, labelled, selectInput } from "../../ui/fields.js";
import { checkField } from "./fields.js";

export const SCOPES = /** @type {const} */ ([
  "gpu",
  "task",
  "disk",
  "queue",
  "node",
  "service",
  "channel",
  "key",
  "user",
  "action",
]);
const SEVERITIES = ["critical", "warning", "info"];
const BOUNDS = /** @type {const} */ (["at_least", "above", "at_most", "below"]);
const ACTIONS = ["stop_with_checkpoint", "hold_gpu", "idle_command"];
const UNITS = /** @type {const} */ ([
  [1, "unit.s"],
  [60, "unit.min"],
  [3600, "unit.h"],
]);

/** The default of a new rule. @type {API.RuleRequest} */
export const NEW_RULE = {
  rule_id: "",
  title: "",
  scope: "gpu",
  metric: "temperature_gpu",
  comparison: "at_least",
  value: 85,
  for_seconds: 300,
  clear_seconds: 60,
  severity: "warning",
  summary: t("rule.summary.new"),
  remedy: "",
  link: null,
  labels: {},
  enabled: true,
  actions: [],
};

/** A duration as a number and a unit. @param {string} id @param {string} label @param {() => void} changed */
function durationText_(id, label, changed) {
  const number = h("input.input", { id, type: "number", min: 0, step: "any", required: true });
  const unit = selectInput(
    UNITS.map(([seconds, name]) => [seconds, t(name)]),
    { "aria-label": `${label}: ${t("rule.unit")}` },
  );
  number.addEventListener("input", changed);
  return {
    element: h("div.field", h("label", { for: id }, label), h("div.lasting", number, unit)),
    value: () => (number.valueAsNumber || 0) * Number(unit.value),
    /** @param {number} seconds */
    set(seconds) {
      const [size] = UNITS.findLast(([each]) => seconds >= each && seconds % each === 0) ?? [1];
      number.value = String(seconds / size);
      unit.value = String(size);
    },
  };
}

/** @param {string} id @param {number} maxlength @param {boolean} [required] @param {Properties} [more] */
const text = (id, maxlength, required, more) => h("input.input", { id, maxlength, required, ...more });

/** @param {readonly API.AlertMetric[]} metrics @param {API.Rule|null} rule null: a new one @param {() => void} changed */
export function ruleForm(metrics, rule, changed) {
  const [isBuiltin, isNew] = [rule?.is_builtin ?? false, rule === null];
  const id = text("rule-id", 64, true, { pattern: "[A-Za-z0-9_]+", title: t("rule.id.form"), disabled: !isNew });
  const title = text("rule-title", 200, true, { autofocus: isNew });
  const scope = selectInput(labelled("scope", SCOPES), { id: "rule-scope" });
  scope.disabled = !isNew;
  const metric = selectInput([], { id: "rule-metric" });
  const comparison = selectInput(labelled("bound", BOUNDS), { id: "rule-comparison" });
  const value = h("input.input", { id: "rule-value", type: "number", step: "any", required: true });
  /** @param {string} [chosen] */
  const listMetrics = (chosen) =>
    fill(
      metric,
      metrics
        .filter((each) => each.scope === scope.value)
        .map(({ name, unit }) =>
          h("option", { value: name, selected: name === chosen }, unit ? `${name} (${labelFor("unit", unit)})` : name),
        ),
    );
  const held = durationText_("rule-for", t("rule.for"), changed);
  const calm = durationText_("rule-calm", t("rule.clear_for"), changed);
  const severity = selectInput(labelled("severity", SEVERITIES), { id: "rule-severity" });
  const summary = text("rule-summary", 1000, true);
  const remedy = text("rule-remedy", 1000);
  const link = text("rule-link", 500, false, { type: "url" });
  const labels = text("rule-labels", 2000, false, { placeholder: "team=vision, shift=night" });
  const enabled = checkField("rule-enabled", t("rule.enabled"), true);
  const actions = ACTIONS.map((value) => ({ value, ...checkField(`act-${value}`, labelFor("action", value), false) }));
  scope.addEventListener("change", () => {
    listMetrics();
    changed();
  });

  const own = [
    h("div.pair.wide", field(t("rule.title"), title), field(t("rule.id"), id, t("rule.id.form"))),
    field(t("rule.scope"), scope),
    h(
      "fieldset.bound",
      h("legend.label", t("rule.when")),
      field(t("bound.metric"), metric),
      field(t("bound.comparison"), comparison),
      field(t("bound.value"), value),
    ),
  ];
  const hasThreshold = isBuiltin && rule?.value !== null;
  const textFields = [
    field(t("rule.summary"), summary, t("rule.summary.hint")),
    field(t("rule.remedy"), remedy),
    field(t("rule.link"), link),
  ];
  const element = h(
    "div.stack",
    { on: { input: changed, change: changed } },
    enabled.element,
    isBuiltin ? hasThreshold && field(t("rule.threshold"), value, rule?.metric ?? "") : own,
    h(
      "div.pair.wide",
      held.element,
      calm.element,
      field(t("rule.severity"), severity),
      field(t("alert.labels"), labels),
    ),
    isBuiltin ? null : textFields,
    h(
      "details",
      h("summary.label", t("rule.actions")),
      h("p.faint.small", t("rule.actions.text")),
      h(
        "div.stack.tight",
        actions.map((each) => each.element),
      ),
    ),
  );

  /** @param {API.RuleRequest|API.Rule} rule */
  function set(rule) {
    id.value = rule.rule_id ?? "";
    title.value = rule.title ?? "";
    scope.value = rule.scope ?? "gpu";
    listMetrics(rule.metric ?? "");
    comparison.value = rule.comparison ?? "at_least";
    value.value = String(rule.value ?? "");
    held.set(rule.for_seconds ?? 0);
    calm.set(rule.clear_seconds ?? 0);
    severity.value = rule.severity ?? "warning";
    summary.value = rule.summary ?? "";
    remedy.value = rule.remedy ?? "";
    link.value = rule.link ?? "";
    labels.value = Object.entries(rule.labels ?? {})
      .map(([name, value]) => `${name}=${value}`)
      .join(", ");
    enabled.input.checked = rule.enabled ?? true;
    for (const { value, input } of actions) input.checked = (rule.actions ?? []).some((each) => each === value);
  }

  /** @returns {API.RuleRequest} */
  function toRequest() {
    const common = {
      enabled: enabled.input.checked,
      for_seconds: held.value(),
      clear_seconds: calm.value(),
      severity: /** @type {API.Severity} */ (severity.value),
      labels: readLabels(labels.value),
      actions: /** @type {API.RuleRequest["actions"]} */ (
        actions.filter(({ input }) => input.checked).map(({ value }) => value)
      ),
    };
    if (isBuiltin) return hasThreshold ? { ...common, value: value.valueAsNumber } : common;
    return {
      ...(isNew ? { rule_id: id.value.trim(), scope: /** @type {API.RuleScope} */ (scope.value) } : {}),
      title: title.value.trim(),
      metric: metric.value,
      comparison: /** @type {API.RuleRequest["comparison"]} */ (comparison.value),
      value: value.valueAsNumber,
      summary: summary.value.trim(),
      remedy: remedy.value.trim(),
      link: link.value.trim() || null,
      ...common,
    };
  }
  return { element, set, toRequest };
}

/** @param {string} text such as `name=value, other=value` @returns {Record<string, string>} */
const readLabels = (text) =>
  Object.fromEntries(
    text
      .split(",")
      .map((part) => part.split("=").map((each) => each.trim()))
      .filter(([name, value]) => name && value),
  );
