// The screen of one dataset: items, tags, check, and versions.

import { access, whyNot } from "../../app/access.js";
import { Refused } from "../../app/api.js";
import { data } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { datasetAddress, go, storeQuery } from "../../app/router.js";
import { actionButton } from "../../ui/buttons.js";
import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { openMenu } from "../../ui/menu.js";
import { backLink } from "../../ui/sections.js";
import { segments } from "../../ui/segments.js";
import { note } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";
import { addingFiles } from "./adding.js";
import { datasetChoices } from "./dialogs.js";
import { itemsPanel } from "./items_panel.js";
import { goBack, versionsPanel } from "./versions.js";

const TABS = /** @type {const} */ (["items", "check", "prepare", "tags", "versions"]);
/** Poll interval while a directory is read. */
const READING_MS = 2000;
/** @typedef {typeof TABS[number]} Tab */

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, { id: name, query }) {
  /** @type {API.DatasetDetails|null} */
  let known = null;
  let reading = 0;
  /** Closes the message that offers to undo the latest edit. */
  let closeUndo = () => {};
  const wanted = {
    tab: TABS.find((each) => each === query.get("tab")) ?? "items",
    version: Number(query.get("version")) || null,
    search: query.get("search") ?? "",
    problem: query.get("problem") ?? "",
  };

  const latest = () => known?.dataset.latest ?? null;
  const shown = () => wanted.version ?? latest();
  const isOld = () => wanted.version !== null && wanted.version !== latest();

  /** Why items may not be removed or excluded now. @returns {string|null} */
  function deniedItems() {
    if (!known) return t("loading");
    if (isOld()) return t("version.old.why", { n: count(wanted.version) });
    return whyNot("datasets:write", known.dataset.owner);
  }

  /** Why the content may not be changed now. In a directory on the server only the exclusion of items can change. */
  const denied = () => (known?.dataset.directory ? t("data.registered.why") : deniedItems());

  const panel = itemsPanel(name, {
    wanted,
    shown,
    latest,
    isOld,
    denied,
    deniedItems,
    isRegistered: () => Boolean(known?.dataset.directory),
    edited: (version, message) => edited(version, message),
    filtered: () => noteAddress(),
  });
  const adding = addingFiles(name, {
    denied: () =>
      known?.dataset.directory ? t("data.registered.why") : whyNot("datasets:write", known?.dataset.owner),
    added: () => (isOld() ? undefined : refetchOrRetry()),
  });
  /** @param {string} tag */
  const searched = (tag) => {
    panel.search(tag);
    setTab("items");
  };
  const tags = lazyPanel(async () => (await import("./tags.js")).tagsPanel(panel.items, searched));
  const versions = versionsPanel(name, {
    shown,
    latest,
    showVersion(version) {
      showVersion(version);
      setTab("items");
    },
    denied: () => (known ? whyNot("datasets:write", known.dataset.owner) : t("loading")),
    restored: () => showVersion(null),
  });
  const checkWays = {
    shown,
    pinned: () => (isOld() ? shown() : null),
    /** @param {import("./check.js").Some} some */
    show(some) {
      panel.showSome(some);
      setTab("items");
    },
    /** @param {string} problem */
    showProblem(problem) {
      panel.showProblem(problem);
      setTab("items");
    },
    onFilesRead: () => void attempt(() => panel.show()),
    denied: deniedItems,
    change: panel.change,
  };
  const check = lazyPanel(async () => (await import("./check.js")).checkPanel(name, checkWays));
  const prepareWays = {
    shown,
    owner: () => known?.dataset.owner ?? null,
    made: () => showVersion(null),
    /** @param {number} version */
    undo: (version) => void attempt(async () => showVersion(await goBack(name, version).then(() => null))),
  };
  const prepare = lazyPanel(async () => (await import("./prepare.js")).preparePanel(name, prepareWays));
  const panels = { items: panel, check, prepare, tags, versions };

  const title = h("h1.foreign.clip", name);
  const facts = h("p.soft.small.dataset-facts");
  const description = h("p.soft.small.foreign", { hidden: true });
  const tagRow = h("div.tag-row");
  const notices = h("div.stack");
  const menu = h("button.button", { "aria-haspopup": "menu" }, icon("more"), t("actions"));
  menu.addEventListener("click", () => known && openMenu(menu, choices(known.dataset)));
  /** Why training is not possible: no items, or no permission. */
  const whyNoTraining = () => (shown() === null ? t("items.none") : whyNot("training:write"));
  // Until the content is known.
  const train = h("button.button.primary", { "aria-disabled": "true" }, icon("play"), t("train.ask"));
  train.addEventListener("click", () => {
    const [why, version] = [whyNoTraining(), shown()];
    if (why || version === null) toast("bad", why ?? "");
    else go(`/new?${new URLSearchParams({ dataset: `${name}@${version}` })}`);
  });
  const tabs = segments(
    t("dataset.shown"),
    TABS.map((value) => ({ value, label: t(value) })),
    wanted.tab,
    (value) => setTab(value),
  );

  /** @param {API.Dataset} dataset */
  const choices = (dataset) =>
    datasetChoices(dataset, whyNot("datasets:write", dataset.owner), (now) => {
      if (!now) go("/datasets");
      else if (now.name !== name) go(datasetAddress(now.name).slice(1));
      else refetchOrRetry();
    });

  /** @param {Tab} tab */
  function setTab(tab) {
    wanted.tab = tab;
    tabs.select(tab);
    noteAddress();
    showTab();
    if (tab !== "items") attempt(() => panels[tab].refetch());
  }

  function showTab() {
    for (const [tab, { element }] of Object.entries(panels)) element.hidden = tab !== wanted.tab;
  }

  function noteAddress() {
    const { tab, version, search, problem } = wanted;
    storeQuery(`/datasets/${encodeURIComponent(name)}`, {
      tab: tab === "items" ? "" : tab,
      version: version === null ? "" : String(version),
      search,
      problem,
    });
  }

  /** Shows another version; null: the newest. @param {number|null} version */
  function showVersion(version) {
    wanted.version = version === latest() ? null : version;
    noteAddress();
    refetchOrRetry();
  }

  /** Shows the new version of an edit, with undo. @param {API.DatasetVersion} version @param {string} message */
  function edited(version, message) {
    // Undo only this edit.
    const before = version.version > 1 ? version.version - 1 : null;
    if (known) known = { ...known, latest_version: version, dataset: { ...known.dataset, latest: version.version } };
    showHead();
    const undo = async () => {
      closeUndo();
      panels.items.focus();
      if (before === null) return;
      const { dataset } = await data.get(name);
      if (dataset.latest !== version.version) return toast("bad", t("undo.late"));
      await goBack(name, before);
      showVersion(null);
    };
    closeUndo();
    closeUndo = toast(
      "ok",
      message,
      " ",
      before !== null && h("button.button.small", { on: { click: () => void attempt(undo) } }, t("undo")),
    );
  }

  function showHead() {
    if (!known) return;
    const { dataset, latest_version: newest } = known;
    setText(title, dataset.name);
    description.hidden = !dataset.description;
    setText(description, dataset.description ?? "");
    fill(
      tagRow,
      dataset.tags.map((tag) => h("span.tag.foreign", tag)),
    );
    fill(
      facts,
      newest
        ? t("dataset.holds", {
            items: count(newest.items),
            size: bytes(newest.size_bytes),
            version: count(newest.version),
          })
        : t("data.empty"),
      newest && newest.excluded > 0 && ` · ${t("dataset.excluded", { n: count(newest.excluded) })}`,
      dataset.owner && [" · ", h("span.foreign", t("owner.n", { owner: dataset.owner }))],
      dataset.directory && [" · ", h("code.foreign", dataset.directory)],
    );
    fill(notices, isOld() && oldNote(), watchNote(dataset, whyNot("datasets:write", dataset.owner), refetchOrRetry));
  }

  const oldNote = () =>
    note(
      "warn",
      h("p", t("version.old", { n: count(wanted.version), latest: count(latest()) })),
      h("button.button.small", { on: { click: () => showVersion(null) } }, t("version.to_newest")),
    );

  const refetchOrRetry = () => refetch().catch(() => app.stream.retry());

  async function refetch() {
    try {
      known = await data.get(name);
    } catch (error) {
      if (!(error instanceof Refused && error.status === 404)) throw error;
      return void fill(element, missing(name));
    }
    showHead();
    showAccess();
    clearTimeout(reading);
    if (known.dataset.watch?.state === "reading") reading = setTimeout(refetchOrRetry, READING_MS);
    await panel.show();
    if (wanted.tab !== "items") await panels[wanted.tab].refetch();
    app.retitle();
  }

  function showAccess() {
    panel.showAccess();
    adding.showAccess();
    prepare.showAccess();
    const why = known && whyNoTraining();
    setAttribute(train, "aria-disabled", !known || why ? "true" : null);
    setAttribute(train, "title", why);
  }

  const unwatchAccess = access.watch(showAccess);
  showTab();
  const element = h(
    "div.screen.dataset-screen",
    backLink("#/datasets", t("data.back")),
    h("div.screen-head", title, facts, h("div.tools", adding.button, train, menu)),
    notices,
    adding.element,
    h("div.dataset-about", tabs.element, description, tagRow),
    Object.values(panels).map((each) => each.element),
  );
  return {
    element,
    title: () => name,
    topics: "gpu,system",
    on: {},
    refetch,
    close() {
      unwatchAccess();
      closeUndo();
      clearTimeout(reading);
      adding.close();
      check.close();
      prepare.close();
      panel.close();
    },
  };
}

/** @param {string} name */
const missing = (name) =>
  h(
    "div.empty",
    icon("question"),
    h("p.foreign", t("data.missing", { name })),
    h("a.button", { href: "#/datasets" }, t("data.back")),
  );

/**
 * @typedef {{element: HTMLElement, refetch: () => Promise<void>, close?: () => void, showAccess?: () => void}} Panel
 * @param {() => Promise<Panel>} load
 */
function lazyPanel(load) {
  const element = h("div");
  /** @type {Panel|null} */
  let panel = null;
  let isClosed = false;
  return {
    element,
    async refetch() {
      if (!panel) {
        const made = await load();
        if (isClosed || panel) return made.close?.();
        panel = made;
        fill(element, made.element);
      }
      await panel.refetch();
    },
    showAccess: () => panel?.showAccess?.(),
    close() {
      isClosed = true;
      panel?.close?.();
    },
  };
}

/** @typedef {NonNullable<API.Dataset["watch"]>} Watch */

/**
 * @param {API.Dataset} dataset
 * @param {string|null} denied why the user may not read it again @param {() => unknown} changed called when reading has started
 * @returns {Child}
 */
function watchNote({ name, watch }, denied, changed) {
  if (!watch) return null;
  if (watch.state === "reading") return note("run", h("p", readingText(watch)));
  const faults = watch.misnamed + watch.unread;
  const leftOut = faults + watch.left_out;
  if (watch.state === "same" && !leftOut) return null;
  const read = async () => {
    await data.refresh(name);
    changed();
  };
  return note(
    watch.state === "gone" ? "bad" : watch.state === "same" && !faults ? "idle" : "warn",
    watch.state !== "same" && h("p.foreign", changeText(watch)),
    watch.state !== "gone" && watch.problem && h("p.foreign", watch.problem),
    leftOut > 0 && findings(watch, leftOut),
    actionButton("small", denied, read, icon("redo"), t("watch.read")),
  );
}

/** @param {Watch} watch */
function readingText({ read_bytes: read, total_bytes: total }) {
  return total ? t("watch.reading.n", { read: bytes(read), total: bytes(total) }) : t("watch.reading");
}

/** @param {Watch} watch */
function changeText({ state, added, removed, changed, problem }) {
  if (state === "gone") return t("watch.missing", { problem: problem ?? t("unknown") });
  return t("watch.changed", { added: count(added), removed: count(removed), changed: count(changed) });
}

/** @param {Watch} watch @param {number} leftOut */
function findings(watch, leftOut) {
  const shown = watch.findings.map(({ path, problem, text }) =>
    h("li", { title: text }, h("code.foreign", path), " ", t(`watch.${problem}`)),
  );
  if (leftOut > shown.length) shown.push(h("li", t("watch.more", { n: count(leftOut - shown.length) })));
  return [h("p", t("watch.left_out", { n: count(leftOut) })), h("ul", shown)];
}
