// The screen of one training: charts, log, files and history.

import { api, Refused } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { go } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { percent } from "../../ui/format.js";
import { prose } from "../../ui/prose.js";
import { isFinished, note } from "../../ui/status.js";
import { logPanel } from "../log/panel.js";
import { lossPanel, smallCharts } from "./charts.js";
import { filesView } from "./files.js";
import { gpuUseChart } from "./gpu_use.js";
import { taskHeader } from "./header.js";
import { taskMachine } from "./machine.js";
import { attemptsView, requestView } from "./request.js";
import { samplesView } from "./samples.js";
import { SeriesStore } from "./series.js";
import { timeline } from "./timeline.js";
import { versionOffer } from "./version.js";

const METRICS = ["loss", "learning_rate", "grad_norm"];
const MAX_FILES = 500;
const MAX_EVENTS = 500;
// New files, and changed reasons for waiting, have no event: poll soon after events and periodically.
const SLOW_MS = 10_000;
const SOON_MS = 400;

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, { id }) {
  /** @type {API.Task|null} */
  let task = null;
  const store = new SeriesStore(id);
  /** @type {import("./actions.js").Changed} */
  const changed = (what) => (what === "deleted" ? leave() : app.reload());
  const [header, loss, small, use, log] = [
    taskHeader(changed),
    lossPanel(store),
    smallCharts(store),
    gpuUseChart(),
    logPanel(id),
  ];
  const [failure, band, files, samples, request, attempts] = [
    failureView(),
    timeline(),
    filesView(id),
    samplesView(id),
    requestView(),
    attemptsView(),
  ];
  const [machine, offer] = [taskMachine(), versionOffer()];
  const missing = h("div");
  const beside = h("div", { class: "small-charts" }, small.elements, use.element);
  const charts = h("div", { class: "task-charts" }, loss.element, beside);
  const outputs = h("div", { class: "two" }, files.elements);
  const body = h(
    "div",
    { class: "task-body" },
    header.element,
    machine.element,
    failure.element,
    offer.element,
    charts,
    h("div", { class: "task-middle" }, log.element, band.element),
    samples.element,
    outputs,
    attempts.element,
    request.element,
  );

  /** @param {API.Task} next */
  function show(next) {
    task = next;
    header.update(task);
    failure.update(task.failure);
    request.update(task);
    attempts.update(task);
    loss.setProgress(task.progress);
    // A cache has no steps and no files of use to others.
    charts.hidden = outputs.hidden = task.kind === "cache";
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
  }

  async function refetchHappened() {
    const [happened, made] = await Promise.all([
      api.events(id, { limit: MAX_EVENTS }),
      api.artifacts(id, { limit: MAX_FILES, order: "newest" }),
    ]);
    if (task) {
      band.update(happened.events, task);
      files.update(task, made);
      offer.update(task, made);
    }
    samples.update(made.artifacts);
  }

  async function refetch() {
    let found;
    try {
      found = await refetchTask();
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) throw error;
      fill(missing, note("bad", h("p", {}, t("task.missing", { id }))));
      body.hidden = true;
      return;
    }
    await Promise.all([refetchSeries(), refetchHappened(), log.refetch(), use.load(found).catch(() => {})]);
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
    go("/tasks");
  }

  function close() {
    clearInterval(slow);
    refetchSoon.cancel();
    for (const part of [loss, small, use, log]) part.close();
  }

  const title = () => {
    if (!task) return id;
    const name = task.name || id;
    return isFinished(task.status)
      ? `${labelFor("task", task.status)} · ${name}`
      : `${percent(task.progress.overall_progress)} ${name}`;
  };

  return {
    element: h("div", { class: "screen" }, missing, body),
    title,
    path: () =>
      `/training/${encodeURIComponent(id)}/events/stream?types=progress,metrics,status,log&offset=${log.next}`,
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
      log: (message) => log.add(message),
      partial: ({ line }) => log.setPartial(line),
      dropped: () => log.refetch().catch(() => {}),
      end: () => {
        app.stream.finish();
        refetch().catch(() => {});
      },
    },
    refetch,
    keys: { f: () => log.follow(), e: () => log.toError(1), E: () => log.toError(-1) },
    close,
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
      const lines = h("pre", { class: "file foreign", tabindex: 0 }, failure?.last_lines.join("\n"));
      const title = labelFor("cause", failure?.code);
      const detail = failure ? translate(failure.detail, failure.detail_code) : "";
      fill(
        element,
        failure &&
          note(
            "bad",
            !detail.startsWith(title) && h("strong", {}, title),
            h("p", { class: "foreign" }, prose(detail)),
            failure.remedy &&
              h(
                "p",
                { class: "foreign" },
                h("b", {}, t("remedy")),
                " ",
                prose(translate(failure.remedy, failure.remedy_code)),
              ),
            failure.last_lines.length > 0 &&
              h("details", { open: true }, h("summary", { class: "soft" }, t("last.lines")), lines),
          ),
      );
      // The error is at the end.
      lines.scrollTop = lines.scrollHeight;
    },
  };
}
