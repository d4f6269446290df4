// What a variant of a model is made of: what of it is here and whole, and what a download would fetch.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { bytes } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { publishedSize } from "./state.js";
import { titled } from "./titles.js";

/** @param {API.Component[]} components @returns {HTMLElement} */
export const componentList = (components) => h("ul", { class: "component-list" }, components.map(row));

/** @param {API.Component} component */
function row(component) {
  const { name, key, present, path, problem, size, files } = component;
  const [tone, sign] = present
    ? /** @type {const} */ (["ok", "check"])
    : /** @type {const} */ ([problem ? "bad" : "idle", problem ? "cross" : "circle"]);
  const told = present ? bytes(size) : (publishedSize(files[0]?.size_gb) ?? t("size.unknown"));
  return h(
    "li",
    { class: "component", data: { tone } },
    h("span", { class: "component-sign" }, icon(sign)),
    h(
      "div",
      { class: "grow" },
      h(
        "p",
        { class: "component-name" },
        h("strong", {}, titled(name)),
        h("code", { class: "faint tiny" }, key),
        chips(component),
      ),
      path && h("p", { class: "mono tiny soft foreign component-path", title: path }, path),
      problem && h("p", { class: "small bad" }, t("component.problem", { problem })),
      !present && source(component),
    ),
    h("span", { class: "small num nowrap soft" }, told),
  );
}

/** @param {API.Component} component */
function source({ files }) {
  const [first] = files;
  if (!first) return h("p", { class: "small soft" }, t("component.by_hand"));
  return h("p", { class: "mono tiny soft foreign component-path" }, first.repository, " : ", first.path || "*");
}

/** What is to be known before it is downloaded. @param {API.Component} component @returns {Child} */
function chips({ present, gated, license, is_pickle: isPickle }) {
  if (present) return null;
  return [
    license && h("span", { class: "fact-chip", title: t("license") }, license),
    gated &&
      h("span", { class: "fact-chip", data: { tone: "warn" }, title: t("gated.text") }, icon("lock"), t("gated")),
    isPickle &&
      h("span", { class: "fact-chip", data: { tone: "warn" }, title: t("pickle.text") }, icon("warn"), t("pickle")),
  ];
}
