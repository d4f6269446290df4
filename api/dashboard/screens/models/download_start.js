// From what is missing of a variant to its download; where the hub asks for a licence, that is said first.

import { whyNot } from "../../app/access.js";
import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { refusalWords } from "../../app/refusal.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { missingOf, publishedSize, sumOf } from "./state.js";

/** Downloads what is missing; asks first where a licence has to be accepted. @param {string} model @param {API.Variant} variant @param {() => unknown} started */
export async function downloadMissing(model, variant, started) {
  const why = whyNot("models:write");
  if (why) return toast("bad", why);
  const missing = missingOf(variant);
  const order = {
    model_id: /** @type {API.DownloadWish["model_id"]} */ (model),
    version: variant.id,
    components: [...new Set(missing.map(({ key }) => key))],
  };
  if (missing.some(({ gated }) => gated)) return askForToken(order, missing, started);
  await models.download(order, newKey());
  started();
}

/** How the button is called: Download 23.8 GB @param {API.Variant} variant */
export function downloadLabel(variant) {
  const { gb, isWhole } = sumOf(missingOf(variant));
  if (!gb) return t("download.do");
  return t(isWhole ? "download.do.size" : "download.do.least", { size: publishedSize(gb) ?? "" });
}

/** @param {API.DownloadWish} order @param {API.Component[]} missing @param {() => unknown} started */
function askForToken(order, missing, started) {
  const title = t("gated.title");
  openDialog(title, (close) => {
    const token = h("input", {
      class: "input",
      id: "hub-token",
      type: "password",
      autocomplete: "off",
      autofocus: true,
      placeholder: "hf_…",
    });
    const problem = h("div", { "aria-live": "assertive" });
    const key = newKey();
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      try {
        await models.download({ ...order, ...(token.value.trim() ? { token: token.value.trim() } : {}) }, key);
        close();
        started();
      } catch (error) {
        fill(problem, note("bad", h("p", { class: "foreign" }, refusalWords(error))));
      }
    };
    const repositories = [...new Set(missing.filter(({ gated }) => gated).map(({ repository }) => repository))];
    return h(
      "form",
      { class: "inside", on: { submit } },
      h("h2", {}, title),
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
      problem,
      h(
        "div",
        { class: "choices" },
        h("button", { class: "button", type: "button", on: { click: close } }, t("cancel")),
        h("button", { class: "button primary", type: "submit" }, icon("down"), t("download.do")),
      ),
    );
  });
}
