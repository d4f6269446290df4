// The library screen: saved models with their newest versions and aliases.

import { access } from "../../app/access.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { registeredAddress } from "../../app/router.js";
import { fill, h, openByRow, setText } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { namedList } from "../../ui/named_list.js";
import { sections } from "../../ui/sections.js";
import { setTime, time } from "../../ui/time.js";
import { modelUploads } from "./upload.js";
import { aliasChips, formatText } from "./version_text.js";

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
      "div.screen",
      h("div.screen-head", h("h1", t("nav.models")), sections("models", "#/registry"), h("div.tools", uploads.button)),
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
    "div.empty",
    icon("cube"),
    h("strong", t("registry.none")),
    h("p", t("registry.none.text")),
    h("a.button", { href: "#/trainings?status=completed" }, icon("list"), t("registry.to_tasks")),
  );

/** @param {API.RegisteredModel} first */
function registeredRow(first) {
  const link = h("a.task-name.clip.foreign", { href: registeredAddress(first.name) });
  const under = h("p.soft.small.clip.foreign");
  const [tags, aliases] = [h("div.tag-row"), h("div.tag-row")];
  const [versions, format, size] = [h("span"), h("span.clip"), h("span.num")];
  const owner = h("span.foreign.clip");
  const when = time(first.updated_at);
  const element = h(
    "li.dataset-row.registered-row",
    { data: { model: first.name } },
    h("div.cell.name-cell", link, under, tags),
    h("div.cell.small.alias-cell", aliases),
    h("div.cell.small.soft.format-cell", format),
    h("div.cell.version-cell.small.soft", versions),
    h("div.cell.size-cell.small", size),
    h("div.cell.owner-cell.small.soft", owner),
    h("div.cell.small.soft.when-cell", when),
  );
  openByRow(element, link);
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
        model.tags.map((tag) => h("span.tag.foreign", tag)),
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
