// The dialog of a rule: view, create or change it, as a form or as JSON.

import { whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { newKey } from "../../app/api_data.js";
import { soon } from "../../app/debounce.js";
import { refusalText } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { prose } from "../../ui/prose.js";
import { segments } from "../../ui/segments.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { translateRule } from "./alert_text.js";
import { NEW_RULE, ruleForm } from "./rule_form.js";
import { rulePicture } from "./rule_picture.js";

const TYPING_MS = 400;

/** The text is not valid JSON. */
class InvalidJSON extends Error {}

/**
 * Whether anything was changed.
 * @param {API.Rule|null} rule null: a new one @param {readonly API.AlertMetric[]} metrics @returns {Promise<boolean>}
 */
export function openRule(rule, metrics) {
  return new Promise((resolve) => {
    let isChanged = false;
    let once = newKey();
    const isBuiltin = rule?.is_builtin ?? false;
    const denied = whyNot("alerts:manage");
    const problem = h("div", { role: "alert" });
    const picture = rulePicture(metrics);
    const changed = () => {
      once = newKey();
      redraw();
    };
    const form = ruleForm(metrics, rule, changed);
    const json = h("textarea.input.mono.json", {
      rows: 18,
      spellcheck: "false",
      "aria-label": "JSON",
      hidden: true,
      on: { input: changed },
    });
    form.set(rule ?? NEW_RULE);

    /** @returns {API.RuleRequest} */
    function toRequest() {
      if (json.hidden) return form.toRequest();
      try {
        return JSON.parse(json.value);
      } catch (error) {
        throw new InvalidJSON(t("rule.json.wrong", { why: error instanceof Error ? error.message : "" }));
      }
    }
    const redraw = soon(() => {
      try {
        picture.update({ ...rule, ...toRequest() });
      } catch {
        // Incomplete JSON has no picture.
      }
    }, TYPING_MS);

    /** @param {"form"|"json"} mode */
    function choose(mode) {
      try {
        if (mode === "json") json.value = JSON.stringify(form.toRequest(), null, 2);
        else if (!json.hidden) form.set(/** @type {API.RuleRequest} */ ({ ...rule, ...toRequest() }));
      } catch (error) {
        modes.select("json");
        return showError(error);
      }
      json.hidden = mode !== "json";
      form.element.hidden = mode === "json";
    }
    const modes = segments(
      t("rule.as"),
      [
        { value: /** @type {const} */ ("form"), label: t("rule.as.form") },
        { value: /** @type {const} */ ("json"), label: "JSON" },
      ],
      "form",
      choose,
    );

    /** @param {unknown} error */
    const showError = (error) => {
      fill(problem, note("bad", h("p.foreign", refusalText(error))));
      problem.scrollIntoView({ block: "nearest" });
    };
    /** @param {() => Promise<void>} run @param {HTMLButtonElement} button */
    async function guarded(run, button) {
      if (denied) return toast("bad", denied);
      fill(problem);
      button.disabled = true;
      try {
        await run();
      } catch (error) {
        showError(error);
      } finally {
        button.disabled = false;
      }
    }

    async function save() {
      if (rule) {
        const changes = differing(rule, toRequest());
        if (!Object.keys(changes).length) return;
        await alertApi.changeRule(rule.rule_id, changes);
      } else await alertApi.makeRule(toRequest(), once);
      isChanged = true;
      toast("ok", t("rule.saved"));
    }

    async function remove() {
      if (rule) await alertApi.deleteRule(rule.rule_id);
      isChanged = true;
      toast("ok", t(isBuiltin ? "rule.restored" : "rule.deleted"));
    }

    const title = rule ? translateRule(rule).title : t("rule.new");
    const dialog = openDialog(
      title,
      (close) => {
        const act = (
          /** @type {string} */ label,
          /** @type {import("../../ui/icons.js").IconName} */ sign,
          /** @type {() => Promise<void>} */ run,
          kind = "",
        ) => {
          /** @type {HTMLButtonElement} */
          const button = h(
            "button",
            {
              class: `button ${kind}`,
              type: "button",
              "aria-disabled": denied ? "true" : null,
              title: denied,
              on: { click: () => guarded(run, button) },
            },
            icon(sign),
            label,
          );
          return button;
        };
        const saveButton = h(
          "button.button.primary",
          { type: "submit", "aria-disabled": denied ? "true" : null, title: denied },
          icon("save"),
          t(rule ? "save" : "rule.make"),
        );
        const submit = (/** @type {Event} */ event) => {
          event.preventDefault();
          guarded(async () => {
            await save();
            close();
          }, saveButton);
        };
        const ending = async () => {
          await remove();
          close();
        };
        return h(
          "form.inside",
          { on: { submit } },
          h("div.editor-head", h("h2.foreign", title), modes.element),
          rule && explanation(rule),
          denied && note("idle", h("p", denied)),
          h("div.rule-columns", h("div.stack", form.element, json), picture.element),
          problem,
          h(
            "div.choices",
            rule && !isBuiltin && act(t("rule.delete"), "trash", ending, "danger"),
            rule?.is_changed && act(t("rule.restore"), "redo", ending),
            h("span.grow"),
            h("button.button", { type: "button", on: { click: close } }, t("cancel")),
            saveButton,
          ),
        );
      },
      "rule-dialog",
      true,
    );
    picture.update(rule ?? NEW_RULE);
    dialog.addEventListener("close", () => {
      redraw.cancel();
      picture.close();
      resolve(isChanged);
    });
  });
}

/**
 * The fields that differ from the rule. The others keep following the default.
 * @param {API.Rule} rule @param {API.RuleRequest} request @returns {API.RuleChange}
 */
function differing(rule, request) {
  const had = /** @type {Record<string, unknown>} */ ({ ...rule });
  const changed = Object.entries(request).filter(
    ([name, value]) => JSON.stringify(had[name]) !== JSON.stringify(value),
  );
  return Object.fromEntries(changed);
}

/** The scope and message of a rule. @param {API.Rule} rule */
function explanation(rule) {
  const { summary, remedy } = translateRule(rule);
  return h(
    "div.stack.tight",
    h("p", conditionOf(rule)),
    h("p.soft.small.foreign", summary),
    remedy && h("p.soft.small.foreign", prose(remedy)),
  );
}

/** The clauses of a rule as text. @param {Pick<API.Rule, "when"|"match">} rule */
export const conditionOf = ({ when, match }) =>
  when.map((text, i) => [i > 0 && ` ${t(match === "any" ? "rule.or" : "rule.and")} `, h("code.foreign", text)]);
