// The form of a new silence.

import { access, has } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { askForm } from "../../ui/form_dialog.js";
import { icon } from "../../ui/icons.js";
import { toast } from "../../ui/toast.js";
import { DURATIONS, HOUR_MS, newId } from "./actions.js";
import { matcherFields } from "./matchers.js";

/** Hours, including the longest that the service accepts. */
const UP_TO_A_MONTH = /** @type {const} */ ([...DURATIONS, [720, "silence.30d"]]);

/** Opens the form and creates the silence. Resolves to it, or null. @returns {Promise<API.Silence|null>} */
export function askForSilence() {
  const once = newId();
  const [rule, me] = [{ label: "rule", value: "" }, access.value?.who?.user_id];
  const matchers = matcherFields(me && !has("alerts:manage") ? [rule, { label: "owner", value: me }] : [rule]);
  const lasts = h(
    "select",
    { class: "input", id: "silence-lasts" },
    UP_TO_A_MONTH.map(([hours, label]) => h("option", { value: hours }, t(label))),
  );
  const comment = h("input", { class: "input", id: "silence-why", required: true, maxlength: 1000 });
  return askForm({
    title: t("silence.new"),
    content: [
      h("p", { class: "soft small" }, t("silences.text")),
      h("div", { class: "field" }, h("span", { class: "label" }, t("silence.what")), matchers.element),
      h("div", { class: "field" }, h("label", { for: lasts.id }, t("silence.lasts")), lasts),
      h("div", { class: "field" }, h("label", { for: comment.id }, t("silence.why")), comment),
    ],
    action: [icon("mute"), t("silence.do")],
    async run() {
      const until = new Date(Date.now() + Number(lasts.value) * HOUR_MS).toISOString();
      const body = { matchers: matchers.values(), until, comment: comment.value.trim() };
      const made = await alertApi.silence(body, once);
      toast("ok", t("silence.done"));
      return made;
    },
  });
}
