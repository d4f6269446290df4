// The screen of one training, in parts with their own addresses: overview, samples, files, log and configuration.

import { api, artifactURL, Refused } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { go, nodeAddress, taskAddress } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { percent } from "../../ui/format.js";
import { openLightbox } from "../../ui/lightbox.js";
import { prose } from "../../ui/prose.js";
import { backLink, sectionLinks } from "../../ui/sections.js";
import { isFinished, note } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";
import { isUnreachable } from "../nodes/state.js";
import { lossPanel, smallCharts } from "./charts.js";
import { comfyModels } from "./comfyui.js";
import { gpuUseChart } from "./gpu_use.js";
import { taskHeader } from "./header.js";
import { attemptsView, requestView } from "./request.js";
import { SeriesStore } from "./series.js";
import { timeline } from "./timeline.js";

const METRICS = ["loss", "learning_rate", "grad_norm"];
const MAX_FILES = 500;
// New files, and changed reasons for waiting, have no event: poll soon after events and periodically.
const SLOW_MS = 10_000;
const SOON_MS = 400;

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} first
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, first) {
  const { id } = first;
  /** @type {API.Task|null} */
  let task = null;
  const store = new SeriesStore(id);
  /** @type {import("./actions.js").Changed} */
  const changed = (what) => (what === "deleted" ? leave() : app.reload());
  const [header, loss, small, use] = [taskHeader(changed), lossPanel(store), smallCharts(store), gpuUseChart()];
  const comfy = comfyModels(id, () => refetchHappened());
  const [failure, band, samples, request, attempts] = [
    failureView(),
    timeline((values) => api.events(id, values)),
    samplesView(id),
    requestView(),
    attemptsView(),
  ];
  // These parts are loaded when they are first needed.
  const reload = () => refetchHappened().catch(() => app.stream.retry());
  const grid = deferred(async () => {
    const { sampleGrid } = await import("./samples.js");
    return sampleGrid(id, store, () => refetchTask().catch(() => app.stream.retry()));
  });
  const files = deferred(async () => (await import("./files.js")).filesView(id, reload, comfy));
  const log = deferred(async () => (await import("../log/panel.js")).logPanel(id));
  const offer = deferred(async () => (await import("./version.js")).versionOffer(changed, comfy));
  const rehearsal = deferred(async () => (await import("./rehearsal.js")).rehearsalView());
  let isLogStreamed = false;
  // Pictures that a trainer made itself do not delay the grid above them.
  const own = h("div", { hidden: true }, samples.element);
  /** @type {{files: API.ArtifactList, exports: API.Export[]}|null} */
  let made = null;
  const machine = taskMachine();
  const missing = h("div");
  const beside = h("div.small-charts", small.elements, use.element);
  const charts = h("div.task-charts", loss.element, beside);
  const overview = h(
    "div.task-body",
    failure.element,
    rehearsal.place,
    offer.place,
    header.progress,
    charts,
    band.element,
    attempts.element,
  );
  /** The parts of the screen: the last part of the address, the label, and the content. @type {[string, WordKey, HTMLElement][]} */
  const parts = [
    ["", "task.overview", overview],
    ["samples", "samples", h("div.task-body", grid.place, own)],
    ["files", "task.files", files.place],
    ["log", "log", log.place],
    ["configuration", "task.configuration", request.element],
  ];
  const links = sectionLinks(
    t("task.parts"),
    parts.map(([part, label]) => [taskAddress(id, part), label]),
    taskAddress(id, first.part),
  );
  const [, samplesLink, filesLink] = links.links;
  const elements = parts.map(([, , element]) => element);
  const body = h("div.task-body", header.element, machine.element, links.element, elements);

  let shown = first.part;

  /** @param {string} wanted */
  function turn(wanted) {
    shown = wanted;
    for (const [part, , element] of parts) element.hidden = part !== wanted;
    links.mark(taskAddress(id, wanted));
    const failed = () => app.stream.retry();
    updateGrid().catch(failed);
    updateFiles().catch(failed);
    if (wanted === "log" && task && !isLogStreamed) log.open().then((part) => part && app.reload());
  }

  async function updateGrid() {
    own.hidden = task?.kind === "training" && !grid.part;
    if ((task && task.kind !== "training") || shown !== "samples") return;
    // Its samples are requested while the training and its files are.
    const part = await grid.open();
    grid.place.hidden = !made;
    if (task?.kind !== "training" || !made || !part) return;
    await part.update(task, made.files.artifacts);
    own.hidden = false;
  }

  async function updateFiles() {
    if (shown !== "files") return;
    const part = await files.open();
    if (task && made) part?.update(task, made.files, made.exports);
  }

  turn(first.part);
  samplesLink.hidden = first.part !== "samples";

  /** @param {API.Task} next */
  function show(next) {
    task = next;
    header.update(task);
    failure.update(task.failure);
    if (task.rehearsal) rehearsal.open().then((part) => part?.update(next));
    request.update(task);
    attempts.update(task);
    loss.setProgress(task.progress);
    // A cache or a rehearsal leaves no files, and has no steps or few.
    charts.hidden = filesLink.hidden = ["cache", "rehearse", "sample"].includes(task.kind);
    if (task.kind === "training") samplesLink.hidden = false;
    app.retitle();
  }

  async function refetchTask() {
    const found = await api.task(id);
    show(found);
    machine.update(found).catch(() => {});
    return found;
  }

  async function refetchSeries() {
    await Promise.all(METRICS.map((metric) => store.load(metric).catch(ignoreMissing)));
    await Promise.all(store.evaluations.map((name) => store.load(name)));
    drawSeries();
  }

  function drawSeries() {
    loss.draw();
    small.draw();
    grid.part?.drawSeries();
  }

  async function refetchHappened() {
    const [found, { exports }] = await Promise.all([
      api.artifacts(id, { limit: MAX_FILES, order: "newest" }),
      api.checkpoints(id),
      band.load(),
    ]);
    if (samples.update(found.artifacts)) samplesLink.hidden = false;
    made = { files: found, exports };
    await updateGrid();
    if (task?.kind === "training") await comfy.load();
    if (!task) return;
    band.update(task);
    await updateFiles();
    if (task.kind === "training" && ["completed", "stopped"].includes(task.status)) await offer.open();
    offer.part?.update(task, found, exports);
  }

  async function refetch() {
    let found;
    try {
      found = await refetchTask();
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) throw error;
      fill(missing, backLink("#/trainings", t("tasks")), note("bad", h("p", t("task.missing", { id }))));
      body.hidden = true;
      return;
    }
    if (shown === "log") await log.open();
    await Promise.all([refetchSeries(), refetchHappened(), log.part?.refetch(), use.load(found).catch(() => {})]);
  }

  const refetchSoon = soon(
    () => Promise.all([refetchTask(), refetchHappened()]).catch(() => app.stream.retry()),
    SOON_MS,
  );

  const slow = setInterval(() => {
    if (document.hidden || !task) return;
    const wasFinished = isFinished(task.status);
    refetchTask()
      // The task was resumed by another user.
      .then((found) => {
        if (wasFinished && !isFinished(found.status)) return app.reload();
        return Promise.all([refetchHappened(), !wasFinished && use.load(found)]).then(() => {});
      })
      .catch(() => {});
  }, SLOW_MS);

  /** The task was deleted: stop requests while the next screen loads. */
  function leave() {
    close();
    app.stream.watch(null);
    go("/trainings");
  }

  function close() {
    clearInterval(slow);
    refetchSoon.cancel();
    for (const part of [loss, small, use, log.part, files.part, grid.part]) part?.close();
  }

  /** Opens the log, where the result of its shortcuts is seen. Returns whether it was open. */
  function openLog() {
    const wasOpen = shown === "log";
    if (!wasOpen) go(taskAddress(id, "log"));
    return wasOpen;
  }

  /** @param {number} by */
  async function toError(by) {
    openLog();
    const isNew = !log.part;
    const panel = await log.open();
    if (isNew) await panel?.refetch();
    await panel?.toError(by);
  }

  const title = () => {
    if (!task) return id;
    const name = task.name || id;
    return isFinished(task.status)
      ? `${labelFor("task", task.status)} · ${name}`
      : `${percent(task.progress.overall_progress)} ${name}`;
  };

  return {
    element: h("div.screen", missing, body),
    title,
    path: () => {
      isLogStreamed = log.part !== null;
      const lines = log.part ? `,log&offset=${log.part.next}` : "";
      return `/training/${encodeURIComponent(id)}/events/stream?types=progress,metrics,status${lines}`;
    },
    on: {
      progress: (message) => {
        if (!task) return;
        show({
          ...task,
          status: message.status,
          progress: message.progress,
          metrics: message.metrics,
          speed: message.speed,
          waiting_reason: message.waiting_reason,
          waiting_reason_code: message.waiting_reason_code,
          warning: message.warning,
        });
      },
      metrics: ({ points }) => {
        store.add(points);
        drawSeries();
      },
      status: refetchSoon,
      log: (message) => log.part?.add(message),
      partial: ({ line }) => log.part?.setPartial(line),
      dropped: () => log.part?.refetch().catch(() => {}),
      end: () => {
        app.stream.finish();
        refetch().catch(() => {});
      },
    },
    refetch,
    turn: ({ part }) => turn(part),
    keys: {
      f: () => openLog() && log.part?.follow(),
      e: () => attempt(() => toError(1)),
      E: () => attempt(() => toError(-1)),
    },
    close,
  };
}

/**
 * A part of the screen that is loaded when it is first needed.
 * @template {{element: HTMLElement}} Loaded
 * @param {() => Promise<Loaded>} load
 */
function deferred(load) {
  const place = h("div");
  /** @type {Loaded|null} */
  let part = null;
  /** @type {Promise<void>|null} */
  let loading = null;
  let isReported = false;
  return {
    place,
    /** Null until it is loaded. */
    get part() {
      return part;
    },
    /** Loads it once. Null if it cannot be loaded: this is shown once, and the next call tries again. */
    async open() {
      loading ??= load().then((loaded) => {
        part = loaded;
        place.append(loaded.element);
      });
      try {
        await loading;
      } catch {
        loading = null;
        if (!isReported) toast("bad", t("screen.missing"));
        isReported = true;
      }
      return part;
    },
  };
}

/** A training that has not started has no metrics. @param {unknown} error */
function ignoreMissing(error) {
  if (!(error instanceof Refused)) throw error;
  if (error.status !== 404 && error.status !== 422) throw error;
}

function failureView() {
  const element = h("div");
  return {
    element,
    /** @param {API.Cause|null} failure */
    update(failure) {
      const lines = h("pre.file.foreign", { tabindex: 0 }, failure?.last_lines.join("\n"));
      const title = labelFor("cause", failure?.code);
      const detail = failure ? translate(failure.detail, failure.detail_code) : "";
      fill(
        element,
        failure &&
          note(
            "bad",
            !detail.startsWith(title) && h("strong", title),
            h("p.foreign", prose(detail)),
            failure.remedy &&
              h("p.foreign", h("b", t("remedy")), " ", prose(translate(failure.remedy, failure.remedy_code))),
            failure.last_lines.length > 0 && h("details", { open: true }, h("summary.soft", t("last.lines")), lines),
          ),
      );
      // The error is at the end.
      lines.scrollTop = lines.scrollHeight;
    },
  };
}

function taskMachine() {
  const element = h("div");
  let isAlone = false;
  return {
    element,
    /** @param {API.Task} task */
    async update(task) {
      const name = task.attempts.at(-1)?.node;
      if (isAlone || !name || task.status === "queued" || isFinished(task.status)) return fill(element);
      const { nodes } = await api.nodes();
      isAlone = nodes.length < 2;
      const found = nodes.find((node) => node.name === name);
      return fill(element, found && !isAlone && nodeNote(found));
    },
  };
}

/** @param {API.Node} node */
function nodeNote(node) {
  const link = h("a.foreign", { href: nodeAddress(node.name) }, node.name);
  if (!isUnreachable(node)) return h("p.soft.small", t("task.machine"), " ", link);
  return note(
    "warn",
    h("strong", t("task.machine"), " ", link, ": ", t(`node.${node.state}`)),
    node.reason && h("p", prose(translate(node.reason, node.reason_code))),
    h("p", t("node.tasks.unknown")),
  );
}

const PICTURES = /\.(png|jpe?g|webp|gif|avif|bmp)$/i;
const MAX_COUNT = 200;

/** @param {string} taskId */
function samplesView(taskId) {
  const grid = h("div.samples");
  const element = h(
    "section.panel.samples-panel",
    { "aria-label": t("samples"), hidden: true },
    h("header", h("h2", t("samples"))),
    h("div.body", grid),
  );
  let drawn = "";

  /** Returns whether there are any. @param {API.Artifact[]} artifacts */
  function update(artifacts) {
    const pictures = artifacts
      .filter(({ kind, path }) => kind === "sample" && PICTURES.test(path))
      .sort((a, b) => b.modified_at.localeCompare(a.modified_at))
      .slice(0, MAX_COUNT);
    const urls = pictures.map((each) => artifactURL(taskId, each.path));
    const state = pictures.map((each) => `${each.path} ${each.modified_at}`).join();
    if (state === drawn) return pictures.length > 0;
    drawn = state;
    const shown = pictures.map(({ path }, i) => {
      const file = path.replace(/^.*\//, "");
      return { url: urls[i], file, alt: file };
    });
    fill(
      grid,
      shown.map(({ url, file }, i) =>
        h(
          "button.sample",
          { title: pictures[i].path, on: { click: () => openLightbox(t("samples"), shown, i) } },
          h("img", { src: url, alt: "", loading: "lazy", decoding: "async" }),
          h("span.clip.tiny.soft.foreign", file),
        ),
      ),
    );
    element.hidden = pictures.length === 0;
    return pictures.length > 0;
  }
  return { element, update };
}
