// A task in the list.

import { actionsFor } from "../../actions.js";
import { fill, h, setText } from "../../dom.js";
import { duration, figure, seconds } from "../../format.js";
import { t } from "../../i18n.js";
import { gpuLinks } from "../../components/gpus.js";
import { menuButton } from "../../components/menu.js";
import { progressBar } from "../../components/progress.js";
import { isFinished, statusChip } from "../../components/status.js";
import { setTime, time } from "../../components/time.js";
import { taskAddress } from "../../router.js";

/** Seconds from its start to its end. */
function lasted(task) {
  const [start, end] = [seconds(task.started_at), seconds(task.finished_at)];
  return start === null || end === null ? null : end - start;
}

export function taskRow(first, changed) {
  const chip = statusChip("task");
  const link = h("a", { class: "task-name clip foreign", href: taskAddress(first.task_id) });
  const under = h("p", { class: "faint tiny clip" });
  const why = h("p", { class: "why small foreign", hidden: true });
  const [gpus, loss] = [h("span"), h("span", { class: "num" })];
  const bar = progressBar();
  const when = time(first.created_at);
  const [whenLabel, took] = [h("span", { class: "faint tiny" }), h("span", { class: "faint tiny" })];
  let task = first;
  const menu = menuButton(t("actions.of", { name: first.name ?? first.task_id }), () => actionsFor(task, changed));
  const element = h(
    "li",
    { class: "task-row", data: { task: first.task_id } },
    h("div", { class: "cell status-cell" }, chip.element),
    h("div", { class: "cell name-cell" }, link, under, why),
    h("div", { class: "cell gpu-cell small" }, gpus),
    h("div", { class: "cell progress-cell" }, bar.element),
    h("div", { class: "cell loss-cell" }, h("span", { class: "cell-label" }, t("loss")), loss),
    h("div", { class: "cell time-cell small" }, whenLabel, when, took),
    h("div", { class: "cell menu-cell" }, menu),
  );
  // The whole row leads to the task; links and buttons in it lead where they lead.
  element.addEventListener("click", (event) => {
    if (!event.target.closest("a, button") && !String(getSelection())) link.click();
  });
  return {
    element,
    get task() {
      return task;
    },
    update(next) {
      task = next;
      chip.update(task.status);
      setText(link, task.name || task.task_id);
      setText(
        under,
        [task.model_type, task.name ? task.task_id : "", task.priority ? t("priority.n", { n: task.priority }) : ""]
          .filter(Boolean)
          .join(" · "),
      );
      const reason = task.waiting_reason ?? task.failure?.detail ?? task.warning ?? "";
      why.hidden = !reason;
      why.dataset.tone = task.failure ? "bad" : task.warning ? "warn" : "idle";
      setText(why, reason);
      fill(gpus, gpuLinks(task));
      setText(loss, figure(task.metrics.current_loss));
      bar.update(task.status, task.progress);
      setText(whenLabel, t(task.finished_at ? "ended" : task.started_at ? "started" : "created"));
      setTime(when, task.finished_at ?? task.started_at ?? task.created_at);
      setText(
        took,
        isFinished(task.status) && lasted(task) !== null ? t("took", { time: duration(lasted(task)) }) : "",
      );
    },
    /** What a progress message tells. */
    progress(told) {
      this.update({ ...task, ...told, task_id: task.task_id });
    },
  };
}
