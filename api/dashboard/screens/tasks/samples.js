// The samples of a training: grid, slider over saved models, blind mode, ranking, contact sheet.

import { whyNot } from "../../app/access.js";
import { api, fetchSheet } from "../../app/api.js";
import { newKey } from "../../app/api_data.js";
import { named, samplingApi } from "../../app/api_sampling.js";
import { t, translate } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { recall, remember } from "../../app/settings.js";
import { guarded, setDenied } from "../../ui/buttons.js";
import { fill, h } from "../../ui/dom.js";
import { percent } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { openMenu } from "../../ui/menu.js";
import { segments } from "../../ui/segments.js";
import { isFinished, note } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";
import { askAutomatic, automaticNote } from "./automatic_samples.js";
import { openBlind } from "./sample_blind.js";
import { SampleTable } from "./sample_model.js";
import { sampleRanking } from "./sample_ranking.js";
import { sampleStrip } from "./sample_strip.js";
import { sampleTable } from "./sample_table.js";
import { openViewer } from "./sample_viewer.js";

const PAGE = 500;
const FEW = 60;
const MAX_PAGES = 20;
const POLL_MS = 2000;
const MOST_NOTED = 8;
const SAVED = /(?:^|\/)((?:epoch|step)\d+)\/[^/]+\.safetensors$/;

/** The names of saved models, oldest first. @param {API.Artifact[]} artifacts */
const savedModels = (artifacts) => [
  ...new Set(
    [...artifacts]
      .sort(
        (a, b) => a.modified_at.localeCompare(b.modified_at) || a.path.localeCompare(b.path, "en", { numeric: true }),
      )
      .flatMap(({ path }) => SAVED.exec(path)?.[1] ?? []),
  ),
];

/** @param {string} taskId @param {import("./series.js").SeriesStore} store @param {() => unknown} changed called when another model is chosen */
export function sampleGrid(taskId, store, changed) {
  const [tools, automatic, running] = [h("span.tools"), h("div"), h("div.stack")];
  const none = h("p.faint.small", t("grid.none"));
  /** @type {Map<string, API.GridSample>} by id, newest first */
  let samples = new Map();
  /** @type {string[]} */
  let saved = [];
  /** @type {API.Task|null} */
  let task = null;
  /** Tasks that render samples of this training. @type {Set<string>} */
  let rendering = new Set();
  let table = new SampleTable([], []);
  /** Number of ratings that this page has stored. */
  let ratings = 0;
  let isLoaded = false;
  let isClosed = false;
  let drawn = "";
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;

  const denied = () => whyNot("training:write", task?.owner ?? null);
  const chosen = () => task?.chosen ?? null;
  const grid = sampleTable({ open, choose, denied, chosen });
  const strip = sampleStrip(store, open);
  const ranking = sampleRanking(taskId);
  let view = recall("samples-view", "grid");
  const views = segments(
    t("samples.view"),
    [
      { value: "grid", label: t("samples.view.grid") },
      { value: "strip", label: t("samples.view.strip") },
    ],
    view,
    (value) => {
      view = value;
      remember("samples-view", value);
      showView();
    },
  );
  const panel = h(
    "section.panel.sample-grid",
    { "aria-label": t("grid") },
    h("header", h("h2", t("grid")), tools),
    h("div.body.stack", automatic, running, none, grid.element, strip.element),
  );
  const element = h("div.task-body", panel, ranking.element);
  const whyNoSamples = () => denied() ?? (saved.length || checkpoints().length ? null : t("grid.no.model"));
  /** @param {() => string|null} why @param {() => unknown} run @param {...Child} content */
  const tool = (why, run, ...content) =>
    h("button.button.small", { type: "button", on: { click: () => guarded(why(), run)() } }, content);
  // They stay while the samples change, so that a click between two answers of the service is not lost.
  const blind = tool(denied, judge, icon("eye"), t("blind"));
  const automaticButton = tool(denied, automate, icon("redo"), t("auto.automatic"));
  const askButton = tool(whyNoSamples, ask, icon("plus"), t("grid.ask"));
  const sheet = h("button.button.small", { type: "button", "aria-haspopup": "menu" }, icon("down"), t("sheet"));
  sheet.addEventListener("click", () =>
    openMenu(sheet, [
      { label: t("sheet.png"), icon: "image", run: () => attempt(() => saveSheet("png")) },
      { label: t("sheet.html"), icon: "file", run: () => attempt(() => saveSheet("html")) },
    ]),
  );
  views.element.hidden = blind.hidden = sheet.hidden = true;
  fill(tools, views.element, blind, sheet, automaticButton, askButton);
  setDenied(askButton, t("grid.no.model"));
  showView();

  function showView() {
    const isEmpty = samples.size === 0;
    none.hidden = !isEmpty || !isLoaded;
    panel.classList.toggle("loading", !isLoaded);
    grid.element.hidden = isEmpty || view !== "grid";
    strip.element.hidden = isEmpty || view !== "strip";
    if (!strip.element.hidden) strip.update(table, task);
  }

  /** @param {number} page @param {number} [limit] */
  const get = (page, limit = PAGE) => api.samples(taskId, { limit, offset: page * limit });
  // The second page is rarely empty for a large grid, and cheap for a small one: asking for both at once saves a wait.
  const start = () => Promise.all([get(0), get(1)]);
  /** Requested before the training is known. @type {ReturnType<typeof start>|null} */
  let early = start();
  early.catch(() => {});

  /** Fetches all samples, or only those that are newer than the known ones. @param {boolean} isWhole @returns {Promise<void>} */
  async function load(isWhole) {
    const limit = isWhole ? PAGE : FEW;
    const known = ratings;
    const first = isWhole ? (early ?? start()) : Promise.all([get(0, limit)]);
    early = null;
    const parts = await first;
    rendering = new Set(parts[0].rendering);
    const isEnough = () =>
      parts.length >= MAX_PAGES ||
      !parts[parts.length - 1].pagination.has_more ||
      (!isWhole && parts[parts.length - 1].samples.every(({ sample_id: id }) => samples.has(id)));
    while (!isEnough()) parts.push(await get(parts.length, limit));
    // A rating was stored meanwhile: the answers may be older.
    if (ratings !== known) return load(isWhole);
    const fetched = parts.flatMap((part) => part.samples);
    // Samples that came in between move others to the next page, so that some are there twice.
    const found = new Map(fetched.map((each) => [each.sample_id, each]));
    if (!isWhole) for (const [id, sample] of samples) if (!found.has(id)) found.set(id, sample);
    samples = found;
    isLoaded = true;
    draw();
  }

  /** Follows the tasks that render, also those that others have started. */
  async function follow() {
    clearTimeout(timer);
    const before = rendering;
    await load(!isLoaded);
    const ended = [...before].filter((id) => !rendering.has(id));
    // A task that was retried may have replaced earlier samples.
    if (ended.length) await load(true);
    const shown = [...ended, ...rendering].slice(0, MOST_NOTED);
    const tasks = await Promise.all(shown.map((id) => api.task(id).catch(() => null)));
    if (isClosed) return;
    if (shown.length) fill(running, notesOf(tasks.filter((each) => each !== null)));
    clearTimeout(timer);
    if (rendering.size && !isClosed) timer = setTimeout(poll, POLL_MS);
  }

  /** Nothing is fetched while the part of the page is hidden; the next update continues. */
  function poll() {
    if (!document.hidden && element.closest("[hidden]") === null) return void follow().catch(again);
    again();
  }
  const again = () => {
    clearTimeout(timer);
    if (!isClosed) timer = setTimeout(poll, POLL_MS);
  };

  /** @param {API.GridSample} sample @param {number|null} rating */
  async function rate(sample, rating) {
    const rated = await api.rateSample(taskId, sample.sample_id, rating);
    // Not in one expression: the map may have been replaced meanwhile.
    samples.set(rated.sample_id, rated);
    ratings += 1;
    draw();
  }

  /** @param {string} name */
  async function choose(name) {
    const isChosen = chosen() === name;
    task = await api.choose(taskId, isChosen ? null : name);
    toast("ok", t(isChosen ? "chosen.removed" : "chosen.made", { name }));
    draw();
    changed();
  }

  async function ask() {
    const { askSamples } = await import("./sample_dialog.js");
    const texts = [...new Set([...samples.values()].map(({ prompt }) => prompt))];
    const [{ sample_sets: sets, defaults }, { workflows: registered }] = await Promise.all([
      samplingApi.sets(),
      samplingApi.workflows(),
    ]);
    const isOfType = (/** @type {{model_type: string}} */ each) => each.model_type === task?.model_type;
    const workflows = registered.filter(isOfType);
    const more = { sets: named(sets), checkpoints: checkpoints(), workflows, hasBuiltIn: defaults.some(isOfType) };
    const run = (/** @type {API.SamplingRequest} */ request) => api.renderSamples(taskId, request, newKey());
    if (await askSamples(saved, texts, run, more)) await follow();
  }

  /** The checkpoints that a LoRA can be made of, newest first. */
  const checkpoints = () =>
    (task?.checkpoints ?? [])
      .filter(({ is_complete: isComplete, step }) => isComplete && !saved.includes(`step${step}`))
      .map(({ name }) => name)
      .reverse();

  async function automate() {
    const changedTask = task && (await askAutomatic(task));
    if (!changedTask) return;
    task = changedTask;
    draw();
    changed();
  }

  /** @param {import("./sample_model.js").Row} row @param {string} column */
  function open(row, column) {
    /** @type {(row: import("./sample_model.js").Row, column: string) => void} */
    const closed = (lastRow, lastColumn) => {
      if (view === "grid") grid.focus(lastRow, lastColumn);
    };
    openViewer(() => table, row, column, { rate, choose, denied, chosen, closed });
  }

  function judge() {
    openBlind(table.pictures, rate, () => {
      if (!ranking.element.hidden) ranking.element.scrollIntoView({ block: "nearest" });
    });
  }

  /** The name of the training, without what no file name may contain. */
  const sheetName = () => (task?.name ?? "").replace(/[\\/:*?"<>|\p{Cc}]+/gu, "-").trim() || taskId;

  /** @param {"png"|"html"} format */
  async function saveSheet(format) {
    const address = await fetchSheet(taskId, format);
    h("a", { href: address, download: `${sheetName()}-samples.${format}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  function draw() {
    if (isClosed) return;
    const state = JSON.stringify([
      [...samples.values()],
      task?.chosen,
      task?.samples,
      checkpoints(),
      saved,
      denied(),
      isLoaded,
    ]);
    if (state === drawn) return;
    drawn = state;
    table = new SampleTable([...samples.values()], saved);
    views.element.hidden = blind.hidden = sheet.hidden = table.pictures.length === 0;
    setDenied(blind, denied());
    setDenied(automaticButton, denied());
    setDenied(askButton, whyNoSamples());
    fill(automatic, task && automaticNote(task));
    showView();
    grid.update(table);
    ranking.load().catch(() => {});
  }

  return {
    element,
    /** @param {API.Task} next @param {API.Artifact[]} artifacts */
    async update(next, artifacts) {
      task = next;
      saved = savedModels(artifacts);
      await follow();
    },
    /** Draws the loss curve again. */
    drawSeries() {
      if (!strip.element.hidden) strip.draw();
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
      grid.close();
      strip.close();
    },
  };
}

/** The failures, and one note for all others, so that the grid does not move. @param {API.Task[]} tasks */
function notesOf(tasks) {
  const failed = tasks.filter(({ failure }) => failure);
  const open = tasks.filter(({ status, failure }) => !failure && !isFinished(status));
  const first = open.find(({ status }) => status !== "queued") ?? open[0];
  return [...failed.map(failureNote), first && openNote(first, open.length - 1)];
}

/** @param {API.Task} made */
const taskLink = (made) => h("a", { href: taskAddress(made.task_id) }, t("grid.task"));

/** @param {API.Task} made */
const failureNote = (made) =>
  made.failure && note("bad", h("p.foreign", translate(made.failure.detail, made.failure.detail_code)), taskLink(made));

/** @param {API.Task} made @param {number} others how many wait behind it */
function openNote(made, others) {
  const why = made.waiting_reason ? translate(made.waiting_reason, made.waiting_reason_code) : null;
  const problem = made.warnings.at(-1);
  return note(
    problem ? "warn" : "idle",
    h(
      "p",
      why ?? t("grid.running", { percent: percent(made.progress.overall_progress ?? 0) }),
      others > 0 && ` ${t("grid.waiting", { n: others })}`,
      " ",
      taskLink(made),
    ),
    problem && h("p.foreign.small", problem),
  );
}
