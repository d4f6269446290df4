// The library screen: saved models with their newest versions and aliases.

import { access } from "../../app/access.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { namedList } from "../../ui/named_list.js";
import { sections } from "../models/sections.js";
import { registeredRow } from "./row.js";
import { modelUploads } from "./upload.js";

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, place) {
  const list = namedList(app, place, {
    address: "/registry",
    title: t("models.registry"),
    async list(values) {
      const { models: rows, pagination } = await models.registry(values);
      return { rows, pagination };
    },
    newRow: registeredRow,
    nothing,
  });
  const uploads = modelUploads(list.refetchOrRetry);
  const unwatchAccess = access.watch(uploads.showAccess);
  return {
    element: h(
      "div",
      { class: "screen" },
      h(
        "div",
        { class: "screen-head" },
        h("h1", {}, t("nav.models")),
        sections("registry"),
        h("div", { class: "tools" }, uploads.button),
      ),
      list.filters,
      uploads.element,
      list.panel,
    ),
    title: () => t("models.registry"),
    topics: "gpu,system",
    on: {},
    refetch: list.refetch,
    keys: list.keys,
    close() {
      unwatchAccess();
      uploads.close();
      list.close();
    },
  };
}

const nothing = () =>
  h(
    "div",
    { class: "empty" },
    icon("cube"),
    h("strong", {}, t("registry.none")),
    h("p", {}, t("registry.none.text")),
    h("a", { class: "button", href: "#/tasks?status=completed" }, icon("list"), t("registry.to_tasks")),
  );
