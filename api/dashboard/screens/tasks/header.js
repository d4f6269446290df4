// What a training is, how far it is, and what can be done with it.

import { t, tell, word } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { fill, h, setText } from "../../ui/dom.js";
import { count, duration, figure, isKnown, percent, UNKNOWN, unit } from "../../ui/format.js";
import { gpuLinks } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { meter } from "../../ui/meter.js";
import { prose } from "../../ui/prose.js";
import { isFinished, isSpoiled, note, spoiledChip, statusChip } from "../../ui/status.js";
import { setTime, time } from "../../ui/time.js";
import { waitingWords } from "../../ui/waiting.js";
import { actionsFor } from "./actions.js";
import { endNotice } from "./end_notice.js";
import { LEVELS, stepsOf } from "./progress.js";

/** What only caches has none of these. */
const STEPS = /** @type {const} */ (["epoch", "step", "loss", "best", "grad_norm", "learning_rate", "speed"]);

/** How many files are cached, where the trainer tells. @param {API.Task["progress"]} progress */
const cachedOf = ({ items_cached: n }) => (isKnown(n) ? t("cached.n", { n: count(n) }) : UNKNOWN);

/** @param {WordKey} key */
function stat(key) {
  const [value, under] = [h("b"), h("span", { class: "faint tiny clip" })];
  return {
    element: h("div", { class: "stat" }, h("span", { class: "label" }, t(key)), value, under),
    /** @param {string} text */
    say(text, more = "") {
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
      // A button of the same label stays, and does what is right for the task as it is when it is pressed.
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
    const place = isKnown(task.queue_position) && t("queue.place", { n: count(task.queue_position) });
    return [
      h("span", { class: "soft" }, place, place && start && " · ", start),
      lastEnd(task),
      task.waiting_reason && h("p", {}, waitingWords(task.waiting_reason, task.waiting_reason_code)),
    ];
  }

  /** @param {API.Task} task */
  function showNotes(task) {
    fill(
      notes,
      task.status === "queued" && note("idle", h("strong", {}, t("waits")), " ", waitsFor(task)),
      task.stop &&
        !isFinished(task.status) &&
        note("warn", h("strong", {}, t("stopping.rung")), h("p", {}, word("rung", task.stop.rung))),
      task.warning &&
        note(
          "warn",
          h("strong", {}, t("warning")),
          h("p", { class: "foreign" }, tell(task.warning, task.warning_code)),
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
    setText(stage, isFinished(task.status) ? "" : progress.stage ? word("stage", progress.stage) : "");
    setText(
      left,
      task.status === "running" && isKnown(progress.eta_seconds)
        ? t("left", { time: duration(progress.eta_seconds) })
        : "",
    );
    stats.epoch.say(
      isKnown(progress.current_epoch) ? `${count(progress.current_epoch)} / ${count(progress.total_epochs)}` : UNKNOWN,
      isKnown(progress.epoch_progress) ? percent(progress.epoch_progress) : "",
    );
    stats.step.say(stepsOf(progress) || UNKNOWN);
    stats.loss.say(
      figure(metrics.current_loss),
      isKnown(metrics.epoch_loss) ? t("epoch.mean", { value: figure(metrics.epoch_loss) }) : "",
    );
    stats.best.say(
      figure(metrics.best_loss),
      isKnown(metrics.best_epoch) ? t("epoch.n", { n: metrics.best_epoch }) : "",
    );
    stats.grad_norm.say(figure(metrics.grad_norm));
    stats.learning_rate.say(figure(metrics.learning_rate));
    stats.speed.say(
      isKnown(speed.steps_per_second) ? unit(speed.steps_per_second, t("per.second"), 1) : UNKNOWN,
      isKnown(speed.samples_per_second) ? t("samples.second", { n: figure(speed.samples_per_second) }) : "",
    );
    stats.elapsed.say(
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

/** Why it waits once more: what ended its last try. @param {API.Task} task @returns {Child} */
function lastEnd({ attempts }) {
  const failure = attempts.at(-1)?.failure;
  return failure && h("p", { class: "foreign" }, prose(tell(failure.detail, failure.detail_code)));
}
