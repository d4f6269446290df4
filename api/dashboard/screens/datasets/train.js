// From a dataset to a training on it.

import { t } from "../../app/i18n.js";
import { go } from "../../app/router.js";
import { openDialog } from "../../ui/dialog.js";
import { h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { keepSettings, recallSettings, settingsForm } from "./settings.js";

/** Asks for what, then opens the form with a request for it. @param {string} name @param {number} version that is pinned */
export function trainOn(name, version) {
  let settings = recallSettings();
  let isToy = false;
  const reference = `${name}@${version}`;
  openDialog(
    t("train.title"),
    (close) => {
      const form = settingsForm("train", settings, (now) => {
        settings = now;
      });
      const toy = h("input", { type: "checkbox", id: "train-toy" });
      toy.addEventListener("change", () => {
        isToy = toy.checked;
        form.hidden = isToy;
      });
      const submit = (/** @type {Event} */ event) => {
        event.preventDefault();
        keepSettings(settings);
        close();
        const query = new URLSearchParams({ dataset: reference, model: isToy ? "toy" : settings.model_type });
        go(`/start?${query}`);
      };
      return h(
        "form",
        { class: "inside", on: { submit } },
        h("h2", {}, t("train.title")),
        h("p", { class: "soft small foreign" }, t("train.text", { dataset: reference })),
        h("label", { class: "check", for: "train-toy" }, toy, t("train.toy")),
        form,
        h(
          "div",
          { class: "choices" },
          h("button", { class: "button", type: "button", on: { click: close } }, t("cancel")),
          h("button", { class: "button primary", type: "submit" }, icon("play"), t("train.do")),
        ),
      );
    },
    "wide",
  );
}
