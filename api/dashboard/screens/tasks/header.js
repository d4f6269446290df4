// The header of a training: state, progress, and actions.

import { labelFor, t, translate } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { count, duration, figure, isKnown, percent, UNKNOWN, unit } from "../../ui/format.js";
import { gpuLinks } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { meter } from "../../ui/meter.js";
import { prose } from "../../ui/prose.js";
import { isFinished, isSpoiled, note, spoiledChip, statusChip } from "../../ui/status.js";
import { setTime, time } from "../../ui/time.js";
import { attempt, toast } from "../../ui/toast.js";
import { waitingText } from "../../ui/waiting.js";
import { actionsFor } from "./actions.js";
import { LEVELS, stepsOf } from "./progress.js";

/** Figures that a cache does not have. */
const STEPS = /** @type {const} */ (["epoch", "step", "loss", "best", "grad_norm", "learning_rate", "speed"]);

/** The number of cached files, if the trainer reports it. @param {API.Task["progress"]} progress */
const cachedOf = ({ items_cached: n }) => (isKnown(n) ? t("cached.n", { n: count(n) }) : UNKNOWN);

/** @param {WordKey} key */
function stat(key) {
  const [value, under] = [h("b"), h("span", { class: "faint tiny clip" })];
  return {
    element: h("div", { class: "stat" }, h("span", { class: "label" }, t(key)), value, under),
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
  const title = h("h1", { class: "foreign" });
  const sub = h("p", { class: "soft small task-sub" });
  const actions = h("div", { class: "tools" });
  const bar = meter(t("progress"));
  const [share, stage, left] = [h("b", { class: "share" }), h("span", { class: "soft" }), h("span", { class: "soft" })];
  const notes = h("div", { class: "stack" });
  const stats = {
    epoch: stat("stat.epoch"),
    step: stat("stat.step"),
    loss: stat("stat.loss"),
    best: stat("stat.best"),
    grad_norm: stat("stat.grad_norm"),
    learning_rate: stat("stat.learning_rate"),
    speed: stat("stat.speed"),
    elapsed: stat("stat.elapsed"),
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
      h(
        "a",
        { class: "button", "aria-label": t("copy.start"), href: `#/start?from=${encodeURIComponent(task.task_id)}` },
        icon("copy"),
        h("span", { class: "only-wide" }, t("copy.start")),
      ),
    );
  }

  /** @param {API.Task} task */
  function showSub(task) {
    const created = time(task.created_at);
    setTime(created, task.started_at ?? task.created_at);
    fill(
      sub,
      h("span", { class: "mono" }, task.task_id),
      h("span", {}, task.model_type),
      task.owner && h("span", { class: "foreign" }, t("owner.n", { owner: task.owner })),
      h("span", {}, gpuLinks(task)),
      task.priority !== 0 && h("span", {}, t("priority.n", { n: task.priority })),
      h("span", {}, t(task.started_at ? "started" : "created"), " ", created),
      task.restarted_from && h("a", { href: taskAddress(task.restarted_from) }, t("restarted.from")),
      task.description && h("span", { class: "foreign" }, task.description),
    );
  }

  /** @param {API.Task} task @returns {Child} */
  function waitsFor(task) {
    const start = task.estimated_start && [t("queue.expected"), " ", time(task.estimated_start)];
    const place = isKnown(task.queue_position) && t("queue.position", { n: count(task.queue_position) });
    return [
      h("span", { class: "soft" }, place, place && start && " · ", start),
      lastEnd(task),
      task.waiting_reason && h("p", {}, waitingText(task.waiting_reason, task.waiting_reason_code)),
    ];
  }

  /** @param {API.Task} task */
  function showNotes(task) {
    fill(
      notes,
      task.status === "queued" && note("idle", h("strong", {}, t("waits")), " ", waitsFor(task)),
      task.stop &&
        !isFinished(task.status) &&
        note("warn", h("strong", {}, t("stopping")), h("p", {}, labelFor("rung", task.stop.rung))),
      task.warning &&
        note(
          "warn",
          h("strong", {}, t("warning")),
          h("p", { class: "foreign" }, translate(task.warning, task.warning_code)),
        ),
      (task.metrics.nan_steps ?? 0) > 0 &&
        note(
          "warn",
          isSpoiled(task) && h("strong", {}, t("nan.last")),
          h("p", {}, t("nan", { n: count(task.metrics.nan_steps) }), " ", isSpoiled(task) && t("nan.remedy")),
        ),
    );
  }

  /** @param {API.Task} task */
  function update(task) {
    const { progress, metrics, speed } = task;
    chip.update(task.status);
    spoiled.hidden = !isSpoiled(task);
    setText(title, task.name || task.task_id);
    const level = isSpoiled(task) ? "warn" : LEVELS[task.status];
    bar.update(progress.overall_progress ?? (task.status === "queued" ? 0 : null), level);
    const onlyCaches = task.kind === "cache";
    setText(share, onlyCaches ? cachedOf(progress) : percent(progress.overall_progress));
    for (const name of STEPS) stats[name].element.hidden = onlyCaches;
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
    showActions(task);
    notice.update(task);
    showSub(task);
    showNotes(task);
  }

  return {
    element: h(
      "header",
      { class: "task-head" },
      h(
        "div",
        { class: "screen-head" },
        h("a", { class: "soft back", href: "#/tasks", "aria-label": t("tasks") }, icon("left")),
        title,
        chip.element,
        spoiled,
        actions,
      ),
      sub,
      h(
        "div",
        { class: "panel task-progress" },
        h("div", { class: "progress-line" }, share, stage, left),
        bar.element,
        h(
          "div",
          { class: "stats" },
          Object.values(stats).map(({ element }) => element),
        ),
      ),
      notes,
    ),
    update,
  };
}

/** Why it is queued again: the end of its last attempt. @param {API.Task} task @returns {Child} */
function lastEnd({ attempts }) {
  const failure = attempts.at(-1)?.failure;
  return failure && h("p", { class: "foreign" }, prose(translate(failure.detail, failure.detail_code)));
}

/** Not needed for trainings that have ended. */
const load = () => import("../alerts/notify.js");

function endNotice() {
  const button = h(
    "button",
    { class: "button", type: "button", hidden: true, "aria-pressed": "false", on: { click: () => attempt(toggle) } },
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
