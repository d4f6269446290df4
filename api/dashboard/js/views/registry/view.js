// What trainings made: named models, each with its newest version and its aliases.

import { access } from "../../access.js";
import { models } from "../../api_models.js";
import { pager } from "../../components/pager.js";
import { fill, h, reconcile, setAttribute } from "../../dom.js";
import { count } from "../../format.js";
import { t } from "../../i18n.js";
import { icon } from "../../icons.js";
import { note } from "../../router.js";
import { sections } from "../models/sections.js";
import { registeredRow } from "./row.js";

const ROWS = 50;
const SEARCH_PAUSE_MS = 200;

/**
 * @param {import("../../main.js").App} app @param {import("../../router.js").Place} place
 * @returns {import("../../main.js").Screen}
 */
export function open(app, place) {
  const wanted = { search: place.query.get("search") ?? "", owner: place.query.get("owner") ?? "" };
  let offset = 0;
  let asked = 0;
  /** @type {Map<string, ReturnType<typeof registeredRow>>} */
  const parts = new Map();
  const total = h("span", { class: "count-badge" });
  const rows = h("ul", { class: "dataset-rows" });
  const [none, foot] = [h("div"), h("div", { class: "pager" })];
  const search = h("input", {
    class: "input",
    type: "search",
    value: wanted.search,
    placeholder: t("data.search"),
    "aria-label": t("data.search"),
    maxlength: 200,
    data: { search: "" },
  });
  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => apply({ search: search.value.trim() }), SEARCH_PAUSE_MS);
  });
  const mine = h(
    "button",
    { class: "button", on: { click: () => apply({ owner: wanted.owner ? "" : "me" }) } },
    icon("user"),
    t("filter.mine"),
  );
  const forgetAccess = access.watch((known) => {
    mine.hidden = !known?.asks;
  });

  /** @param {Partial<typeof wanted>} change */
  function apply(change) {
    Object.assign(wanted, change);
    search.value = wanted.search;
    offset = 0;
    note("/registry", wanted);
    setAttribute(mine, "aria-pressed", String(wanted.owner === "me"));
    refetchOrRetry();
  }
  setAttribute(mine, "aria-pressed", String(wanted.owner === "me"));
  const refetchOrRetry = () => refetch().catch(() => app.stream.retry());

  async function refetch() {
    const own = ++asked;
    const owner = wanted.owner === "me" ? access.value?.who?.user_id : "";
    const { models: found, pagination } = await models.registry({ search: wanted.search, owner, limit: ROWS, offset });
    if (own !== asked) return;
    reconcile(rows, parts, found, ({ name }) => name, registeredRow);
    fill(total, count(pagination.total));
    fill(
      none,
      found.length === 0 &&
        (wanted.search || wanted.owner ? noMatch(() => apply({ search: "", owner: "" })) : nothing()),
    );
    const turn = (/** @type {number} */ by) => {
      offset = Math.max(0, offset + by);
      refetchOrRetry();
    };
    const isPaged = pagination.total > ROWS;
    fill(
      foot,
      isPaged &&
        pager({
          offset,
          limit: ROWS,
          shown: found.length,
          total: pagination.total,
          hasMore: pagination.has_more,
          turn,
        }),
    );
    foot.hidden = !isPaged;
  }

  /** @param {number} step */
  function move(step) {
    const links = [...parts.values()].map(({ link }) => link);
    const at = links.indexOf(/** @type {HTMLAnchorElement} */ (document.activeElement));
    links[Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
  }

  return {
    element: h(
      "div",
      { class: "screen" },
      h("div", { class: "screen-head" }, h("h1", {}, t("nav.models")), sections("registry")),
      h("div", { class: "filters" }, h("div", { class: "search" }, icon("search"), search, h("kbd", {}, "/")), mine),
      h(
        "section",
        { class: "panel datasets", "aria-label": t("models.registry") },
        h("header", {}, h("h2", {}, t("models.registry")), total),
        rows,
        none,
        foot,
      ),
    ),
    title: () => t("models.registry"),
    topics: "gpu,system",
    on: {},
    refetch,
    keys: { j: () => move(1), k: () => move(-1) },
    close() {
      clearTimeout(typing);
      forgetAccess();
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

/** @param {() => void} clear */
const noMatch = (clear) =>
  h(
    "div",
    { class: "empty" },
    icon("search"),
    h("p", {}, t("filter.none")),
    h("button", { class: "button", on: { click: clear } }, t("filter.clear")),
  );
