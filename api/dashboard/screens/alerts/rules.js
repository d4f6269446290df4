// The list of rules: whether they are on, and their conditions.

import { whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { labelFor, t } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { prose } from "../../ui/prose.js";
import { segments } from "../../ui/segments.js";
import { empty, loading } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { toast, toastError } from "../../ui/toast.js";
import { translateRule } from "./alert_text.js";
import { durationText } from "./fields.js";
import { conditionOf, openRule } from "./rule_dialog.js";
import { SCOPES } from "./rule_form.js";
import { severityChip } from "./severity.js";

const WHICH = /** @type {const} */ (["all", "on", "off", "own"]);
/** @type {Record<typeof WHICH[number], (rule: API.Rule) => boolean>} */
const FITS = {
  all: () => true,
  on: ({ enabled }) => enabled,
  off: ({ enabled }) => !enabled,
  own: ({ is_builtin: isBuiltin, is_changed: isChanged }) => !isBuiltin || isChanged,
};

/** @type {import("./view.js").MakePart} */
export function rulesPart(place) {
  const body = h("div.stack", loading());
  const total = h("span.count-badge");
  const denied = whyNot("alerts:manage");
  /** @type {API.Rule[]} */
  let rules = [];
  /** @type {API.AlertMetric[]} */
  let metrics = [];
  /** @type {typeof WHICH[number]} */
  let which = "all";
  let wanted = place.query.get("rule");
  const search = h("input.input", {
    type: "search",
    placeholder: t("rules.search"),
    "aria-label": t("rules.search"),
    data: { search: "" },
    on: { input: () => draw() },
  });
  const filter = segments(
    t("rules.which"),
    WHICH.map((value) => ({ value, label: t(`rules.${value}`) })),
    which,
    (value) => {
      which = value;
      draw();
    },
  );
  const add = actionButton("primary small", denied, () => openDialog(null), icon("plus"), t("rule.new"));

  /** @param {API.Rule|null} rule */
  async function openDialog(rule) {
    if (await openRule(rule, metrics)) await refetch();
  }

  function draw() {
    const text = search.value.trim().toLowerCase();
    const fits = (/** @type {API.Rule} */ rule) =>
      FITS[which](rule) &&
      [rule.rule_id, ...Object.values(translateRule(rule)), ...rule.when].some((each) =>
        String(each).toLowerCase().includes(text),
      );
    const shown = rules.filter(fits);
    fill(total, count(shown.length));
    fill(
      body,
      shown.length === 0 && h("section.panel", empty("bell", t("rules.none"))),
      SCOPES.map((scope) => {
        const own = shown.filter((rule) => rule.scope === scope);
        return own.length > 0 && group(scope, own, denied, openDialog);
      }),
    );
  }

  async function refetch() {
    [{ rules }, { metrics }] = await Promise.all([alertApi.rules(), alertApi.metrics()]);
    draw();
    const linked = rules.find(({ rule_id: id }) => id === wanted);
    wanted = null;
    if (linked) openDialog(linked).catch(toastError);
  }

  return {
    element: h(
      "div.stack",
      h("div.screen-head", h("h2", t("alerts.tab.rules")), total, h("div.tools", search, filter.element, add)),
      denied && note("idle", h("p", denied)),
      body,
    ),
    refetch,
  };
}

/** @param {string} scope @param {API.Rule[]} rules @param {string|null} denied @param {(rule: API.Rule) => unknown} openDialog */
const group = (scope, rules, denied, openDialog) =>
  h(
    "section.panel.rule-group",
    { "aria-label": labelFor("scope", scope) },
    h("header", h("h3", labelFor("scope", scope)), h("span.count-badge", count(rules.length))),
    h(
      "ul",
      rules.map((rule) => row(rule, denied, openDialog)),
    ),
  );

/** @param {API.Rule} rule @param {string|null} denied @param {(rule: API.Rule) => unknown} openDialog */
function row(rule, denied, openDialog) {
  const { title, remedy } = translateRule(rule);
  // The values of single alerts are not known here.
  const general = remedy.replace(/^\{\w+\}\s*/, "").replace(/\{\w+\}/g, "…");
  return h(
    "li.rule-row",
    { data: { rule: rule.rule_id } },
    onOff(rule, title, denied),
    h(
      "div.grow",
      h(
        "div.rule-head",
        h("button.link-button.foreign", { type: "button", on: { click: () => openDialog(rule) } }, title),
        severityChip(rule.severity),
        !rule.is_builtin && h("span.tag", t("rule.own")),
        rule.is_changed && h("span.tag", t("rule.changed")),
        rule.is_opt_in && h("span.tag", { title: t("rule.opt_in.why") }, t("rule.opt_in")),
        rule.actions.length > 0 && h("span.tag", rule.actions.map((each) => labelFor("action", each)).join(", ")),
      ),
      h(
        "p.small.soft",
        conditionOf(rule),
        rule.for_seconds > 0 && ` · ${t("rule.for.short", { time: durationText(rule.for_seconds) })}`,
      ),
      general && h("p.small.faint.foreign", prose(general)),
    ),
  );
}

/** @param {API.Rule} rule @param {string} title @param {string|null} denied */
function onOff(rule, title, denied) {
  const button = h("input.switch", {
    type: "checkbox",
    role: "switch",
    checked: rule.enabled,
    "aria-label": title,
    "aria-disabled": denied ? "true" : null,
    title: denied ?? t(rule.enabled ? "switch.off" : "switch.on"),
  });
  button.addEventListener("change", async () => {
    const isOn = button.checked;
    if (denied) {
      button.checked = rule.enabled;
      return toast("bad", denied);
    }
    try {
      await alertApi.changeRule(rule.rule_id, { enabled: isOn });
      rule.enabled = isOn;
      toast("ok", t(isOn ? "rule.on" : "rule.off", { title }));
    } catch (error) {
      button.checked = rule.enabled;
      toastError(error);
    }
  });
  return button;
}
