// The tasks screen: running tasks, then the queue in order, then finished ones.

import { access } from "../../app/access.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t } from "../../app/i18n.js";
import { storeQuery, sweepAddress } from "../../app/router.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { percent } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { searchField } from "../../ui/search_field.js";
import { sections } from "../../ui/sections.js";
import { segments } from "../../ui/segments.js";
import { typeSelect } from "../models/type_select.js";
import { bulkBar } from "./bulk.js";
import { Chosen } from "./chosen.js";
import { TaskList } from "./list.js";

/** @typedef {API.TaskStatus[]} Statuses */

/** @type {Statuses} */
const RUNNING = ["starting", "running", "stopping"];
/** @type {Statuses} */
const WAITING = ["queued"];
/** @type {Statuses} */
const FINISHED = ["completed", "failed", "stopped"];
/** @typedef {"all"|"queued"|"active"|"completed"|"failed"|"stopped"} Filter */
/** @type {Record<Filter, Statuses>} */
const FILTERS = {
  all: [...RUNNING, ...WAITING, ...FINISHED],
  queued: WAITING,
  active: RUNNING,
  completed: ["completed"],
  failed: ["failed"],
  stopped: ["stopped"],
};

const NAMES = /** @type {Filter[]} */ (Object.keys(FILTERS));

/** Rows per page. */
const PAGE = 50;

// Events of one change come in bursts.
const REFETCH_PAUSE_MS = 250;

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, place) {
  const wanted = {
    status: NAMES.find((name) => name === place.query.get("status")) ?? "all",
    search: place.query.get("search") ?? "",
    model: place.query.get("model") ?? "",
    owner: place.query.get("owner") ?? "",
    tag: place.query.get("tag") ?? "",
    sweep: place.query.get("sweep") ?? "",
  };
  const filter = (/** @type {Statuses} */ among) => ({
    status: FILTERS[wanted.status].filter((status) => among.includes(status)).join(","),
    search: wanted.search,
    model_type: wanted.model,
    owner: wanted.owner,
    tag: wanted.tag,
    sweep: wanted.sweep,
  });
  const chosen = new Chosen(() => {
    for (const each of lists) each.showChosen();
    bulk.update();
  });
  const bulk = bulkBar(chosen, () => refetchSoon());
  /** @param {WordKey} title @param {Statuses} among @param {number} limit @param {API.Query} [more] */
  const list = (title, among, limit, more = {}) => {
    const made = new TaskList({
      title: t(title),
      limit,
      values: () => ({ ...filter(among), ...more }),
      changed: () => refetchSoon(),
      chosen,
      findTag: (tag) => apply({ tag }),
    });
    return Object.assign(made, { among });
  };
  const running = list("tasks.running", RUNNING, 100);
  const waiting = list("tasks.queue", WAITING, PAGE, { order: "queue" });
  const finished = list("tasks.finished", FINISHED, PAGE);
  const lists = [running, waiting, finished];
  const none = h("section.panel", { hidden: true, "aria-live": "polite" });

  const search = searchField(t("tasks.search"), wanted.search, (text) => apply({ search: text }));
  search.element.classList.add("grow");
  const { input: model } = typeSelect({
    first: [["", t("model.all")]],
    value: wanted.model,
    attributes: { "aria-label": t("model"), on: { change: () => apply({ model: model.value }) } },
  });
  model.classList.add("model-filter");
  const filters = segments(
    t("status"),
    NAMES.map((value) => ({
      value,
      label: value === "all" || value === "active" ? t(`filter.${value}`) : labelFor("task", value),
    })),
    wanted.status,
    (status) => apply({ status }),
  );

  // Without sign-in, tasks have no owner.
  const mine = h("button.button.small", { on: { click: () => apply({ owner: wanted.owner ? "" : "me" }) } });
  fill(mine, icon("user"), t("filter.mine"));
  const unwatchAccess = access.watch((known) => {
    mine.hidden = !known?.isRequired;
  });

  /** @param {Partial<typeof wanted>} change */
  function apply(change) {
    Object.assign(wanted, change);
    storeQuery("/trainings", { ...wanted, status: wanted.status === "all" ? "" : wanted.status });
    showMine();
    showTag();
    showSweep();
    for (const each of lists) each.reset();
    refetchOrRetry();
  }

  const showMine = () => setAttribute(mine, "aria-pressed", String(wanted.owner === "me"));
  showMine();

  const tag = h("button.button.small", { title: t("filter.clear"), on: { click: () => apply({ tag: "" }) } });
  const showTag = () => {
    tag.hidden = !wanted.tag;
    fill(tag, icon("tag"), h("span.foreign", wanted.tag), icon("close"));
  };
  showTag();
  const sweep = h("button.button.small", { title: t("filter.clear"), on: { click: () => apply({ sweep: "" }) } });
  fill(sweep, icon("sliders"), t("sweep.filter"), icon("close"));
  const sweepLink = h("a.button.small", icon("right"), t("sweep.open"));
  const showSweep = () => {
    sweep.hidden = sweepLink.hidden = !wanted.sweep;
    sweepLink.href = sweepAddress(wanted.sweep);
  };
  showSweep();

  const refetchOrRetry = () => refetch().catch(() => app.stream.retry());
  const refetchSoon = soon(refetchOrRetry, REFETCH_PAUSE_MS);

  async function refetch() {
    const has = (/** @type {{among: Statuses}} */ { among }) =>
      FILTERS[wanted.status].some((status) => among.includes(status));
    await Promise.all(lists.filter(has).map((each) => each.refetch()));
    for (const each of lists) each.element.hidden = !has(each) || each.isEmpty;
    bulk.update();
    showNone(lists.every(({ element }) => element.hidden));
    app.retitle();
  }

  /** @param {boolean} isNone */
  function showNone(isNone) {
    const isFiltered =
      wanted.status !== "all" || wanted.search || wanted.model || wanted.owner || wanted.tag || wanted.sweep;
    none.hidden = !isNone;
    fill(none, isNone && (isFiltered ? noMatch(clear) : nothing()));
  }

  function clear() {
    search.input.value = model.value = "";
    filters.select("all");
    apply({ status: "all", search: "", model: "", owner: "", tag: "", sweep: "" });
    search.input.focus();
  }

  /** @param {number} step */
  function move(step) {
    const links = lists.flatMap((each) => (each.element.hidden ? [] : each.links));
    const at = links.findIndex((link) => link.closest(".task-row")?.contains(document.activeElement));
    const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step))];
    next?.focus();
    next?.closest(".task-row")?.scrollIntoView({ block: "nearest" });
  }

  /** Selects the focused task, or deselects it. @param {boolean} isRange */
  function pick(isRange) {
    const id = document.activeElement?.closest(".task-row")?.getAttribute("data-task");
    for (const each of lists) {
      const task = each.tasks.find(({ task_id }) => task_id === id);
      if (task) each.pick(task, isRange || !chosen.has(task), isRange);
    }
  }

  const element = h(
    "div.screen",
    h("div.screen-head", h("h1", t("tasks")), sections("tasks", "#/trainings")),
    h("div.filters", search.element, model, filters.element, mine, tag, sweep, sweepLink),
    none,
    lists.map(({ element }) => element),
    bulk.element,
  );
  return {
    element,
    title: () => title(running),
    topics: "gpu,task,system",
    on: {
      progress: (message) => running.progress(message),
      status: (message) =>
        message.event?.type === "status" || message.event?.type === "change" || message.event?.type === "stop"
          ? refetchSoon()
          : undefined,
    },
    refetch,
    keys: {
      j: () => move(1),
      k: () => move(-1),
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      x: () => pick(false),
      X: () => pick(true),
      Escape: () => chosen.replace([]),
    },
    close() {
      search.close();
      unwatchAccess();
      refetchSoon.cancel();
      for (const each of lists) each.close();
    },
  };
}

/** Shows the progress of running tasks in the tab's title. @param {TaskList} running */
function title(running) {
  const first = running.tasks.find((task) => task.status === "running");
  return first ? `${percent(first.progress.overall_progress)} ${first.name ?? first.task_id}` : t("tasks");
}

function nothing() {
  return h(
    "div.empty",
    icon("list"),
    h("p", t("tasks.none")),
    h("a.button", { href: "#/new" }, icon("plus"), t("nav.start")),
  );
}

/** @param {() => void} clear */
function noMatch(clear) {
  return h(
    "div.empty",
    icon("search"),
    h("p", t("filter.none")),
    h("button.button", { on: { click: clear } }, icon("close"), t("filter.clear")),
  );
}
