// Starts a training on a dataset.

import { t } from "../../app/i18n.js";
import { go } from "../../app/router.js";
import { h } from "../../ui/dom.js";
import { askForm } from "../../ui/form_dialog.js";
import { icon } from "../../ui/icons.js";
import { keepSettings, recallSettings, settingsForm } from "./settings.js";

/** Asks for the model type, then opens the training form. @param {string} name @param {number} version to use */
export function trainOn(name, version) {
  let settings = recallSettings();
  const reference = `${name}@${version}`;
  const form = settingsForm("train", settings, (now) => {
    settings = now;
  });
  const toy = h("input", { type: "checkbox", id: "train-toy" });
  toy.addEventListener("change", () => {
    form.hidden = toy.checked;
  });
  return askForm({
    title: t("train.title"),
    content: [
      h("p.soft.small.foreign", t("train.text", { dataset: reference })),
      h("label.check", { for: "train-toy" }, toy, t("train.toy")),
      form,
    ],
    action: [icon("play"), t("train.do")],
    async run() {
      keepSettings(settings);
      const query = new URLSearchParams({ dataset: reference, model: toy.checked ? "toy" : settings.model_type });
      go(`/start?${query}`);
    },
    className: "wide",
  });
}
