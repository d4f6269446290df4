// All datasets, and the way to a new one.

import { access, whyNot } from "../../access.js";
import { data } from "../../api_data.js";
import { pager } from "../../components/pager.js";
import { attempt, toast } from "../../components/toast.js";
import { fill, h, reconcile, setAttribute } from "../../dom.js";
import { bytes, count } from "../../format.js";
import { t } from "../../i18n.js";
import { icon } from "../../icons.js";
import { datasetAddress, go, note } from "../../router.js";
import { takeDrops } from "../../uploads/drop.js";
import { droppedFiles, folderName } from "../../uploads/files.js";
import { addFiles, canUpload } from "../../uploads/uploads.js";
import { askForDataset } from "./dialogs.js";
import { datasetRow } from "./row.js";

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
  /** @type {Map<string, ReturnType<typeof datasetRow>>} */
  const parts = new Map();
  const [total, sum] = [h("span", { class: "count-badge" }), h("span", { class: "soft small" })];
  const rows = h("ul", { class: "dataset-rows" });
  const [none, foot] = [h("div"), h("div", { class: "pager" })];
  const panel = h(
    "section",
    { class: "panel datasets", "aria-label": t("nav.data") },
    h("header", {}, h("h2", {}, t("data.all")), total, h("div", { class: "tools" }, sum)),
    rows,
    none,
    foot,
  );

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
  const mine = h("button", { class: "button", on: { click: () => apply({ owner: wanted.owner ? "" : "me" }) } });
  fill(mine, icon("user"), t("filter.mine"));
  const make = () => {
    const why = whyNot("datasets:write");
    if (why) toast("bad", why);
    else attempt(makeOne);
  };
  const button = h("button", { class: "button primary", on: { click: make } }, icon("plus"), t("data.new.ask"));
  const forgetAccess = access.watch((known) => {
    mine.hidden = !known?.asks;
    const why = whyNot("datasets:write");
    setAttribute(button, "aria-disabled", why ? "true" : null);
    setAttribute(button, "title", why);
  });

  async function makeOne() {
    const made = await askForDataset(null);
    if (made) go(datasetAddress(made.name).slice(1));
  }

  const forgetDrops = takeDrops(
    () => whyNot("datasets:write") ?? (canUpload ? t("upload.drop.new") : t("upload.absent")),
    (transfer) => {
      const why = whyNot("datasets:write") ?? (canUpload ? null : t("upload.absent"));
      if (why) return toast("bad", why);
      const [files, name] = [droppedFiles(transfer), folderName(transfer)];
      attempt(async () => addTo(await askForDataset(null, name), await files));
    },
  );

  /** @param {API.Dataset|null} made @param {import("../../uploads/files.js").Found[]} files */
  function addTo(made, files) {
    if (!made) return;
    addFiles(made.name, files);
    go(datasetAddress(made.name).slice(1));
  }

  /** @param {Partial<typeof wanted>} change */
  function apply(change) {
    Object.assign(wanted, change);
    search.value = wanted.search;
    offset = 0;
    note("/data", wanted);
    setAttribute(mine, "aria-pressed", String(wanted.owner === "me"));
    refetchOrRetry();
  }
  setAttribute(mine, "aria-pressed", String(wanted.owner === "me"));

  const refetchOrRetry = () => refetch().catch(() => app.stream.retry());

  /** @returns {Promise<void>} */
  async function refetch() {
    const mineNow = ++asked;
    // `me` is whoever is signed in; where nobody is, nothing is anybody's.
    const owner = wanted.owner === "me" ? access.value?.who?.user_id : "";
    const found = await data.list({ search: wanted.search, owner, limit: ROWS, offset });
    if (mineNow !== asked) return;
    const { datasets, pagination } = found;
    if (!datasets.length && offset > 0) {
      offset = Math.max(0, offset - ROWS);
      return refetch();
    }
    const newRow = (/** @type {API.Dataset} */ each) => datasetRow(each, refetchOrRetry);
    reconcile(rows, parts, datasets, ({ name }) => name, newRow);
    fill(total, count(pagination.total));
    const stored = datasets.reduce((all, { stored_bytes: size }) => all + size, 0);
    const isWhole = pagination.total === datasets.length;
    fill(sum, datasets.length > 0 && isWhole && t("data.stored", { size: bytes(stored) }));
    fill(none, datasets.length === 0 && (wanted.search || wanted.owner ? noMatch(clear) : nothing()));
    const turn = (/** @type {number} */ by) => {
      offset = Math.max(0, offset + by);
      refetchOrRetry();
    };
    const page = { offset, limit: ROWS, shown: datasets.length, total: pagination.total, hasMore: pagination.has_more };
    fill(foot, pagination.total > ROWS && pager({ ...page, turn }));
  }

  function clear() {
    apply({ search: "", owner: "" });
    search.focus();
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
      h("div", { class: "screen-head" }, h("h1", {}, t("nav.data")), h("div", { class: "tools" }, button)),
      h("div", { class: "filters" }, h("div", { class: "search" }, icon("search"), search, h("kbd", {}, "/")), mine),
      panel,
    ),
    title: () => t("nav.data"),
    topics: "gpu,system",
    on: {},
    refetch,
    keys: { j: () => move(1), k: () => move(-1) },
    close() {
      clearTimeout(typing);
      forgetAccess();
      forgetDrops();
    },
  };
}

/** What there is to do where there is nothing yet. */
const nothing = () =>
  h("div", { class: "empty" }, icon("stack"), h("strong", {}, t("data.none")), h("p", {}, t("data.none.text")));

/** @param {() => void} clear */
const noMatch = (clear) =>
  h(
    "div",
    { class: "empty" },
    icon("search"),
    h("p", {}, t("filter.none")),
    h("button", { class: "button", on: { click: clear } }, t("filter.clear")),
  );
