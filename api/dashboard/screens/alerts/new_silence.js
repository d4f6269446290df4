// A silence by a form: what it is about, for how long, and why.

import { access, has } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { t } from "../../app/i18n.js";
import { refusalWords } from "../../app/refusal.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { HOUR_MS, LASTS, newId } from "./actions.js";
import { matcherFields } from "./matchers.js";

/** Hours, with the longest that there can be. */
const UP_TO_A_MONTH = /** @type {const} */ ([...LASTS, [720, "silence.30d"]]);

/** Asks for one and makes it; gives it, or null. @returns {Promise<API.Silence|null>} */
export function askForSilence() {
  return new Promise((resolve) => {
    /** @type {API.Silence|null} */
    let made = null;
    const once = newId();
    const [rule, me] = [{ label: "rule", value: "" }, access.value?.who?.user_id];
    const matchers = matcherFields(me && !has("alerts:manage") ? [rule, { label: "owner", value: me }] : [rule]);
    const lasts = h(
      "select",
      { class: "input", id: "silence-lasts" },
      UP_TO_A_MONTH.map(([hours, label]) => h("option", { value: hours }, t(label))),
    );
    const comment = h("input", { class: "input", id: "silence-why", required: true, maxlength: 1000 });
    const problem = h("div", { role: "alert" });
    const dialog = openDialog(t("silence.new"), (close) => {
      const submit = async (/** @type {Event} */ event) => {
        event.preventDefault();
        const until = new Date(Date.now() + Number(lasts.value) * HOUR_MS).toISOString();
        try {
          made = await alertApi.silence({ matchers: matchers.values(), until, comment: comment.value.trim() }, once);
          toast("ok", t("silence.done"));
          close();
        } catch (error) {
          fill(problem, note("bad", h("p", { class: "foreign" }, refusalWords(error))));
        }
      };
      return h(
        "form",
        { class: "inside", on: { submit } },
        h("h2", {}, t("silence.new")),
        h("p", { class: "soft small" }, t("silences.text")),
        h("div", { class: "field" }, h("span", { class: "label" }, t("silence.what")), matchers.element),
        h("div", { class: "field" }, h("label", { for: lasts.id }, t("silence.lasts")), lasts),
        h("div", { class: "field" }, h("label", { for: comment.id }, t("silence.why")), comment),
        problem,
        h(
          "div",
          { class: "choices" },
          h("button", { class: "button", type: "button", on: { click: close } }, t("cancel")),
          h("button", { class: "button primary", type: "submit" }, icon("mute"), t("silence.do")),
        ),
      );
    });
    dialog.addEventListener("close", () => resolve(made));
  });
}
