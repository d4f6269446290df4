// The row of a saved model in the list.

import { t } from "../../app/i18n.js";
import { registeredAddress } from "../../app/router.js";
import { fill, h, setText } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { setTime, time } from "../../ui/time.js";
import { aliasChips, formatText } from "./version_text.js";

/** @param {API.RegisteredModel} first */
export function registeredRow(first) {
  const link = h("a", { class: "task-name clip foreign", href: registeredAddress(first.name) });
  const under = h("p", { class: "soft small clip foreign" });
  const [tags, aliases] = [h("div", { class: "tag-row" }), h("div", { class: "tag-row" })];
  const [versions, format, size] = [h("span"), h("span", { class: "clip" }), h("span", { class: "num" })];
  const owner = h("span", { class: "foreign clip" });
  const when = time(first.updated_at);
  const element = h(
    "li",
    { class: "dataset-row registered-row", data: { model: first.name } },
    h("div", { class: "cell name-cell" }, link, under, tags),
    h("div", { class: "cell small alias-cell" }, aliases),
    h("div", { class: "cell small soft format-cell" }, format),
    h("div", { class: "cell version-cell small soft" }, versions),
    h("div", { class: "cell size-cell small" }, size),
    h("div", { class: "cell owner-cell small soft" }, owner),
    h("div", { class: "cell small soft when-cell" }, when),
  );
  element.addEventListener("click", (event) => {
    if (event.target instanceof Element && !event.target.closest("a, button") && !String(getSelection())) link.click();
  });
  return {
    element,
    link,
    /** @param {API.RegisteredModel} model */
    update(model) {
      setText(link, model.name);
      setText(under, model.description ?? "");
      under.hidden = !model.description;
      fill(
        tags,
        model.tags.map((tag) => h("span", { class: "tag foreign" }, tag)),
      );
      fill(aliases, aliasChips(Object.entries(model.aliases).map(([alias, version]) => `${alias} → ${version}`)));
      setText(format, model.latest ? formatText(model.latest) : "");
      setText(versions, t("registry.versions", { n: count(model.versions) }));
      setText(size, model.latest ? bytes(model.latest.size_bytes) : "");
      setText(owner, model.owner ?? "");
      setTime(when, model.updated_at);
    },
  };
}
