// Starts the download of a variant's missing parts; shows licence requirements first.

import { whyNot } from "../../app/access.js";
import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { askForm } from "../../ui/form_dialog.js";
import { icon } from "../../ui/icons.js";
import { toast } from "../../ui/toast.js";
import { missingOf, publishedSize, sumOf } from "./state.js";

/**
 * Downloads missing parts; isRequired first if a licence must be accepted.
 * @param {string} model @param {API.Variant} variant @param {() => unknown} started
 */
export async function downloadMissing(model, variant, started) {
  const why = whyNot("models:write");
  if (why) return toast("bad", why);
  const missing = missingOf(variant);
  const order = {
    model_id: /** @type {API.DownloadRequest["model_id"]} */ (model),
    version: variant.id,
    components: [...new Set(missing.map(({ key }) => key))],
  };
  if (missing.some(({ gated }) => gated)) return askForToken(order, missing, started);
  await models.download(order, newKey());
  started();
}

/** The label of the button: Download 23.8 GB @param {API.Variant} variant */
export function downloadLabel(variant) {
  const { gb, isWhole } = sumOf(missingOf(variant));
  if (!gb) return t("download.do");
  return t(isWhole ? "download.do.size" : "download.do.least", { size: publishedSize(gb) ?? "" });
}

/** @param {API.DownloadRequest} order @param {API.Component[]} missing @param {() => unknown} started */
async function askForToken(order, missing, started) {
  const token = h("input", {
    class: "input",
    id: "hub-token",
    type: "password",
    autocomplete: "off",
    autofocus: true,
    placeholder: "hf_…",
  });
  const key = newKey();
  const repositories = [...new Set(missing.filter(({ gated }) => gated).map(({ repository }) => repository))];
  const made = await askForm({
    title: t("gated.title"),
    content: [
      h("p", { class: "soft" }, t("gated.text")),
      h(
        "ul",
        { class: "stack" },
        repositories.map((each) => h("li", {}, h("code", { class: "foreign" }, each))),
      ),
      h(
        "div",
        { class: "field" },
        h("label", { for: "hub-token" }, t("hub.token")),
        token,
        h("p", { class: "faint tiny" }, t("hub.token.text")),
      ),
    ],
    action: [icon("down"), t("download.do")],
    run: () => models.download({ ...order, ...(token.value.trim() ? { token: token.value.trim() } : {}) }, key),
  });
  if (made) started();
}
