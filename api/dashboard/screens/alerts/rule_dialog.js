// A rule: shown, made or changed, by a form or as JSON.

import { whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { t } from "../../app/i18n.js";
import { refusalWords } from "../../app/refusal.js";
import { soon } from "../../app/soon.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { prose } from "../../ui/prose.js";
import { segments } from "../../ui/segments.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { newId } from "./actions.js";
import { NEW_RULE, ruleForm } from "./rule_form.js";
import { rulePicture } from "./rule_picture.js";
import { tellRule } from "./told.js";

const TYPING_MS = 400;

/** What is no JSON. */
class NoJSON extends Error {}

/** Whether anything was changed. @param {API.Rule|null} rule null: a new one @param {readonly API.AlertMetric[]} metrics @returns {Promise<boolean>} */
export function openRule(rule, metrics) {
  return new Promise((resolve) => {
    let isChanged = false;
    let once = newId();
    const isBuiltin = rule?.is_builtin ?? false;
    const denied = whyNot("alerts:manage");
    const problem = h("div", { role: "alert" });
    const picture = rulePicture(metrics);
    const changed = () => {
      once = newId();
      redraw();
    };
    const form = ruleForm(metrics, rule, changed);
    const json = h("textarea", {
      class: "input mono json",
      rows: 18,
      spellcheck: "false",
      "aria-label": "JSON",
      hidden: true,
      on: { input: changed },
    });
    form.set(rule ?? NEW_RULE);

    /** @returns {API.RuleWish} */
    function wish() {
      if (json.hidden) return form.wish();
      try {
        return JSON.parse(json.value);
      } catch (error) {
        throw new NoJSON(t("rule.json.wrong", { why: error instanceof Error ? error.message : "" }));
      }
    }
    const redraw = soon(() => {
      try {
        picture.update({ ...rule, ...wish() });
      } catch {
        // Half-written JSON has no picture.
      }
    }, TYPING_MS);

    /** @param {"form"|"json"} mode */
    function choose(mode) {
      try {
        if (mode === "json") json.value = JSON.stringify(form.wish(), null, 2);
        else if (!json.hidden) form.set(/** @type {API.RuleWish} */ ({ ...rule, ...wish() }));
      } catch (error) {
        modes.select("json");
        return tell(error);
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
    const tell = (error) => {
      fill(problem, note("bad", h("p", { class: "foreign" }, refusalWords(error))));
      problem.scrollIntoView({ block: "nearest" });
    };
    /** @param {() => Promise<void>} deed @param {HTMLButtonElement} button */
    async function guarded(deed, button) {
      if (denied) return toast("bad", denied);
      fill(problem);
      button.disabled = true;
      try {
        await deed();
      } catch (error) {
        tell(error);
      } finally {
        button.disabled = false;
      }
    }

    async function keep() {
      if (rule) {
        const changes = differing(rule, wish());
        if (!Object.keys(changes).length) return;
        await alertApi.changeRule(rule.rule_id, changes);
      } else await alertApi.makeRule(wish(), once);
      isChanged = true;
      toast("ok", t("rule.kept"));
    }

    async function remove() {
      if (rule) await alertApi.deleteRule(rule.rule_id);
      isChanged = true;
      toast("ok", t(isBuiltin ? "rule.restored" : "rule.deleted"));
    }

    const title = rule ? tellRule(rule).title : t("rule.new");
    const dialog = openDialog(
      title,
      (close) => {
        const act = (
          /** @type {string} */ label,
          /** @type {import("../../ui/icons.js").IconName} */ sign,
          /** @type {() => Promise<void>} */ deed,
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
              on: { click: () => guarded(deed, button) },
            },
            icon(sign),
            label,
          );
          return button;
        };
        const save = h(
          "button",
          { class: "button primary", type: "submit", "aria-disabled": denied ? "true" : null, title: denied },
          icon("save"),
          t(rule ? "save" : "rule.make"),
        );
        const submit = (/** @type {Event} */ event) => {
          event.preventDefault();
          guarded(async () => {
            await keep();
            close();
          }, save);
        };
        const ending = async () => {
          await remove();
          close();
        };
        return h(
          "form",
          { class: "inside", on: { submit } },
          h("div", { class: "editor-head" }, h("h2", { class: "foreign" }, title), modes.element),
          rule && explanation(rule),
          denied && note("idle", h("p", {}, denied)),
          h("div", { class: "rule-columns" }, h("div", { class: "stack" }, form.element, json), picture.element),
          problem,
          h(
            "div",
            { class: "choices" },
            rule && !isBuiltin && act(t("rule.delete"), "trash", ending, "danger"),
            rule?.is_changed && act(t("rule.restore"), "redo", ending),
            h("span", { class: "grow" }),
            h("button", { class: "button", type: "button", on: { click: close } }, t("cancel")),
            save,
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

/** What of it is to be another: the rest stays as it is, and as it came. @param {API.Rule} rule @param {API.RuleWish} wish @returns {API.RuleChange} */
function differing(rule, wish) {
  const had = /** @type {Record<string, unknown>} */ ({ ...rule });
  const changed = Object.entries(wish).filter(([name, value]) => JSON.stringify(had[name]) !== JSON.stringify(value));
  return Object.fromEntries(changed);
}

/** What it is about, and what people are told. @param {API.Rule} rule */
function explanation(rule) {
  const { summary, remedy } = tellRule(rule);
  return h(
    "div",
    { class: "stack tight" },
    h("p", {}, conditionOf(rule)),
    h("p", { class: "soft small foreign" }, summary),
    remedy && h("p", { class: "soft small foreign" }, prose(remedy)),
  );
}

/** Its clauses, joined by what joins them. @param {Pick<API.Rule, "when"|"match">} rule */
export const conditionOf = ({ when, match }) =>
  when.map((text, i) => [
    i > 0 && ` ${t(match === "any" ? "rule.or" : "rule.and")} `,
    h("code", { class: "foreign" }, text),
  ]);
