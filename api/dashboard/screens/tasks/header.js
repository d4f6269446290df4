// The header of a training: state, progress, and actions.

import { labelFor, t, translate } from "../../app/i18n.js";
import { sweepAddress, taskAddress } from "../../app/router.js";
import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { count, duration, figure, isKnown, percent, UNKNOWN, unit } from "../../ui/format.js";
import { gpuLinks } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { meter } from "../../ui/meter.js";
import { orderTexts } from "../../ui/order.js";
import { prose } from "../../ui/prose.js";
import { backLink } from "../../ui/sections.js";
import { isFinished, isSpoiled, note, spoiledChip, statusChip } from "../../ui/status.js";
import { setTime, time } from "../../ui/time.js";
import { attempt, toast } from "../../ui/toast.js";
import { waitingText } from "../../ui/waiting.js";
import { pointerLabel, showValue } from "../start/draft.js";
import { actionsFor } from "./actions.js";
import { LEVELS, stepsOf } from "./progress.js";

/** Figures that a job does not have. */
const STEPS = /** @type {const} */ (["epoch", "step", "loss", "best", "grad_norm", "learning_rate", "speed"]);

/** Kinds of tasks that train nothing. @type {readonly string[]} */
const JOBS = ["cache", "sample", "export"];

/** A job has the name of its training. @param {API.Task} task */
function titleOf({ kind, name, task_id: id }) {
  if (kind === "sample" && name) return t("task.samples_of", { name });
  if (kind === "export" && name) return t("task.export_of", { name });
  return name || id;
}

/** The number of cached files, if the trainer reports it. @param {API.Task["progress"]} progress */
const cachedOf = ({ items_cached: n }) => (isKnown(n) ? t("cached.n", { n: count(n) }) : UNKNOWN);

/** @param {WordKey} key */
function stat(key) {
  const [value, under] = [h("b"), h("span.faint.tiny.clip")];
  return {
    element: h("div.stat", h("span.label", t(key)), value, under),
    /** @param {string} text */
    show(text, more = "") {
      setText(value, text);
      setText(under, more);
    },
  };
}

/** @param {import("./actions.js").Changed} changed */
export function taskHeader(changed) {
  const chip = statusChip("task");
  const spoiled = spoiledChip();
  const title = h("h1.foreign");
  const sub = h("p.soft.small.task-sub");
  const actions = h("div.tools");
  const bar = meter(t("progress"));
  const [share, stage, left] = [h("b.share"), h("span.soft"), h("span.soft")];
  const notes = h("div.stack");
  const stats = {
    epoch: stat("stat.epoch"),
    step: stat("stat.step"),
    loss: stat("stat.loss"),
    best: stat("stat.best"),
    grad_norm: stat("stat.grad_norm"),
    learning_rate: stat("stat.learning_rate"),
    speed: stat("stat.speed"),
    elapsed: stat("stat.elapsed"),
    energy: stat("stat.energy"),
  };
  const notice = endNotice();
  let drawn = "";
  /** @type {import("../../ui/menu.js").Choice[]} */
  let choices = [];

  /** @param {API.Task} task */
  function showActions(task) {
    choices = actionsFor(task, changed);
    const key = choices.map(({ label, denied }) => `${label}${denied ?? ""}`).join() + task.priority;
    if (key === drawn) return;
    drawn = key;
    fill(
      actions,
      notice.element,
      // A button with the same label is reused and acts on the current task.
      choices.map((choice, place) =>
        h(
          "button",
          {
            class: `button ${choice.danger ? "danger" : ""}`,
            "aria-disabled": choice.denied ? "true" : null,
            title: choice.denied,
            on: { click: () => choices[place].run() },
          },
          icon(choice.icon),
          choice.label,
        ),
      ),
      // A rehearsal offers its training in its own panel.
      !["rehearse", "sample", "export"].includes(task.kind) &&
        h("a.button", { href: `#/new?from=${encodeURIComponent(task.task_id)}` }, icon("copy"), t("copy.start")),
    );
  }

  /** @param {NonNullable<API.Task["export"]>} made */
  const exportedFrom = ({ task_id: id, checkpoint, step }) =>
    h("a", { href: taskAddress(id, "files") }, t("exported.from", { checkpoint, step: count(step) }));

  /** @param {API.Task} task */
  function showSub(task) {
    const created = time(task.created_at);
    setTime(created, task.started_at ?? task.created_at);
    fill(
      sub,
      h("span.mono", task.task_id),
      h("span", task.model_type),
      task.owner && h("span.foreign", t("owner.n", { owner: task.owner })),
      task.gpu_count > 0 && h("span", gpuLinks(task)),
      orderTexts(task).map((text) => h("span", text)),
      h("span", t(task.started_at ? "started" : "created"), " ", created),
      task.export && exportedFrom(task.export),
      task.restarted_from && h("a", { href: taskAddress(task.restarted_from) }, t("restarted.from")),
      task.sweep_id && h("a.foreign", { href: sweepAddress(task.sweep_id) }, t("sweep"), sweepValues(task)),
      task.description && h("span.foreign", task.description),
      task.tags.length > 0 &&
        h(
          "span.tag-row",
          task.tags.map((tag) => h("a.tag.foreign", { href: `#/trainings?tag=${encodeURIComponent(tag)}` }, tag)),
        ),
    );
  }

  /** @param {API.Task} task @returns {Child} */
  function waitsFor(task) {
    const start = task.estimated_start && [t("queue.expected"), " ", time(task.estimated_start)];
    const place = isKnown(task.queue_position) && t("queue.position", { n: count(task.queue_position) });
    return [
      h("span.soft", place, place && start && " · ", start),
      lastEnd(task),
      task.waiting_reason && h("p", waitingText(task.waiting_reason, task.waiting_reason_code)),
    ];
  }

  /** @param {API.Task} task */
  function showNotes(task) {
    fill(
      notes,
      task.notes && h("p.soft.small.foreign.task-notes", task.notes),
      task.status === "queued" && note("idle", h("strong", t("waits")), " ", waitsFor(task)),
      task.stop &&
        !isFinished(task.status) &&
        note("warn", h("strong", t("stopping")), h("p", labelFor("rung", task.stop.rung))),
      task.stop?.reason &&
        note("idle", h("strong", t("sweep.stopped_early")), h("p", translate(task.stop.reason, task.stop.reason_code))),
      task.warning &&
        note("warn", h("strong", t("warning")), h("p.foreign", translate(task.warning, task.warning_code))),
      (task.metrics.nan_steps ?? 0) > 0 &&
        note(
          "warn",
          isSpoiled(task) && h("strong", t("nan.last")),
          h("p", t("nan", { n: count(task.metrics.nan_steps) }), " ", isSpoiled(task) && t("nan.remedy")),
        ),
    );
  }

  /** @param {API.Task} task */
  function update(task) {
    const { progress, metrics, speed } = task;
    chip.update(task.status);
    spoiled.hidden = !isSpoiled(task);
    setText(title, titleOf(task));
    const level = isSpoiled(task) ? "warn" : LEVELS[task.status];
    bar.update(progress.overall_progress ?? (task.status === "queued" ? 0 : null), level);
    const onlyCaches = task.kind === "cache";
    setText(share, onlyCaches ? cachedOf(progress) : percent(progress.overall_progress));
    for (const name of STEPS) stats[name].element.hidden = JOBS.includes(task.kind);
    setText(stage, isFinished(task.status) ? "" : progress.stage ? labelFor("stage", progress.stage) : "");
    setText(
      left,
      task.status === "running" && isKnown(progress.eta_seconds)
        ? t("left", { time: duration(progress.eta_seconds) })
        : "",
    );
    stats.epoch.show(
      isKnown(progress.current_epoch) ? `${count(progress.current_epoch)} / ${count(progress.total_epochs)}` : UNKNOWN,
      isKnown(progress.epoch_progress) ? percent(progress.epoch_progress) : "",
    );
    stats.step.show(stepsOf(progress) || UNKNOWN);
    stats.loss.show(
      figure(metrics.current_loss),
      isKnown(metrics.epoch_loss) ? t("epoch.mean", { value: figure(metrics.epoch_loss) }) : "",
    );
    stats.best.show(
      figure(metrics.best_loss),
      isKnown(metrics.best_epoch) ? t("epoch.n", { n: metrics.best_epoch }) : "",
    );
    stats.grad_norm.show(figure(metrics.grad_norm));
    stats.learning_rate.show(figure(metrics.learning_rate));
    stats.speed.show(
      isKnown(speed.steps_per_second) ? unit(speed.steps_per_second, t("per.second"), 1) : UNKNOWN,
      isKnown(speed.samples_per_second) ? t("samples.second", { n: figure(speed.samples_per_second) }) : "",
    );
    stats.elapsed.show(
      duration(progress.training_time),
      task.attempt_count > 1 ? t("attempts.n", { n: task.attempt_count }) : "",
    );
    stats.energy.element.hidden = !task.energy;
    if (task.energy) stats.energy.show(...energyOf(task.energy));
    showActions(task);
    notice.update(task);
    showSub(task);
    showNotes(task);
  }

  return {
    element: h(
      "header.task-head",
      backLink("#/trainings", t("tasks")),
      h("div.screen-head", title, chip.element, spoiled, actions),
      sub,
      notes,
    ),
    progress: h(
      "div.panel.task-progress",
      h("div.progress-line", share, stage, left),
      bar.element,
      h(
        "div.stats",
        Object.values(stats).map(({ element }) => element),
      ),
    ),
    update,
  };
}

/** The energy of its GPUs, and what it cost. @param {NonNullable<API.Task["energy"]>} energy @returns {[string, string]} */
function energyOf({ kwh, cost, currency, is_partial: isPartial }) {
  const price = isKnown(cost) ? `${figure(cost)} ${currency ?? ""}` : "";
  // Short trainings need less than a kilowatt-hour.
  const energy = isKnown(kwh) && kwh < 0.1 ? `${figure(kwh * 1000)} Wh` : `${figure(kwh)} kWh`;
  return [energy, [isPartial && t("stat.energy.partial"), price].filter(Boolean).join(" ")];
}

/** Its own values in its sweep. @param {API.Task} task */
const sweepValues = ({ sweep_values: values }) => {
  const each = Object.entries(values ?? {}).map(([pointer, value]) => `${pointerLabel(pointer)} ${showValue(value)}`);
  return `: ${each.join(", ")}`;
};

/** Why it is queued again: the end of its last attempt. @param {API.Task} task @returns {Child} */
function lastEnd({ attempts }) {
  const failure = attempts.at(-1)?.failure;
  return failure && h("p.foreign", prose(translate(failure.detail, failure.detail_code)));
}

/** Not needed for trainings that have ended. */
const load = () => import("../alerts/notify.js");

function endNotice() {
  const button = h(
    "button.button",
    { type: "button", hidden: true, "aria-pressed": "false", on: { click: () => attempt(toggle) } },
    icon("bell"),
    t("notify.end"),
  );
  let id = "";

  async function toggle() {
    const { isWatched, notifies, switchOn, watch } = await load();
    const wanted = !isWatched(id);
    if (wanted && !notifies.value && !(await switchOn())) return toast("bad", t("notify.denied"));
    watch(id, wanted);
    await show();
    toast("ok", t(wanted ? "notify.end.on" : "notify.end.off"));
  }

  async function show() {
    const { isWatched } = await load();
    setAttribute(button, "aria-pressed", String(isWatched(id)));
  }

  return {
    element: button,
    /** @param {API.Task} task */
    update(task) {
      const isOver = isFinished(task.status);
      button.hidden = isOver;
      if (isOver || task.task_id === id) return;
      id = task.task_id;
      const notify = /** @type {{channels?: string[]}|undefined} */ (task.request.notify);
      const channels = notify?.channels?.join(", ");
      button.title = channels ? t("notify.end.also", { channels }) : t("notify.text");
      attempt(show);
    },
  };
}
