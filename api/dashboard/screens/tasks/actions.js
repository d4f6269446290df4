// What can be done to a task, with the questions that come before it.

import { whyNot } from "../../app/access.js";
import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { go, taskAddress } from "../../app/router.js";
import { askNumber, askWhich } from "../../ui/dialog.js";
import { h } from "../../ui/dom.js";
import { isFinished } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";

/** Told when something was done; `deleted` when the task is gone. @typedef {(what?: "deleted") => unknown} Changed */
/** What an action does. @typedef {(task: API.Row, changed: Changed) => Promise<void>} Action */

/** @param {API.Row} task */
const nameOf = (task) => h("strong", { class: "foreign" }, task.name ?? task.task_id);

/**
 * The actions that make sense for a task now. What may not be done stays there and says why.
 * @param {API.Row} task
 * @param {Changed} changed
 * @returns {import("../../ui/menu.js").Choice[]}
 */
export function actionsFor(task, changed) {
  const denied = whyNot("training:write", task.owner);
  /** @param {string} label @param {import("../../ui/icons.js").IconName} icon @param {Action} run */
  const act = (label, icon, run, danger = false) => ({
    label,
    icon,
    danger,
    denied,
    run: () => (denied ? toast("bad", denied) : void attempt(() => run(task, changed))),
  });
  if (!isFinished(task.status)) {
    return [
      act(t(task.status === "stopping" ? "stop.harder" : "stop"), "stop", stop, true),
      ...(savesNow(task) ? [act(t("checkpoint.save"), "save", saveCheckpoint)] : []),
      act(t("priority.change"), "priority", changePriority),
    ];
  }
  return [
    // A cache has no checkpoints: it is begun anew.
    ...(task.kind === "cache" ? [] : [act(t("resume.ask"), "resume", resume)]),
    act(t("restart.ask"), "redo", restart),
    act(t("delete"), "trash", remove, true),
  ];
}

/** @type {Action} */
async function stop(task, changed) {
  const how = task.status === "stopping" ? "force" : await askHow(task);
  if (how === "force" && !(await isSure(task))) return;
  if (!how) return;
  await api.stop(task.task_id, { force: how === "force" });
  toast("ok", t("stop.asked"));
  changed();
}

/** @param {API.Row} task */
function askHow(task) {
  if (task.status === "queued") {
    return askWhich({
      title: t("stop.queued.title"),
      text: nameOf(task),
      choices: [{ label: t("stop.queued.do"), value: "soft", kind: "danger" }],
    });
  }
  return askWhich({
    title: t("stop.title"),
    text: [h("p", {}, nameOf(task)), h("p", {}, t("stop.text"))],
    choices: [
      { label: t("stop.force"), value: "force", kind: "danger" },
      { label: t("stop.save"), value: "soft", kind: "primary" },
    ],
  });
}

/** @param {API.Row} task */
async function isSure(task) {
  const choice = await askWhich({
    title: t("force.title"),
    text: [h("p", {}, nameOf(task)), h("p", {}, t("force.text"))],
    choices: [{ label: t("force.do"), value: "yes", kind: "danger sure" }],
  });
  return choice === "yes";
}

/** While it loads or caches there is nothing to save. @param {API.Row} task */
export const savesNow = ({ status, progress }) =>
  status === "running" && ["training", "evaluating", "saving"].includes(progress.stage ?? "");

/** @type {Action} */
async function saveCheckpoint(task, changed) {
  await api.save(task.task_id);
  toast("ok", t("checkpoint.asked"));
  changed();
}

/** @type {Action} */
async function resume(task, changed) {
  // A row of the list does not know the checkpoints; the dialog is loaded when it is first wanted.
  const [details, dialog] = await Promise.all([api.task(task.task_id), import("./resume_dialog.js")]);
  if (!dialog.wholeCheckpoints(details).length) return offerRestart(task);
  if (!(await dialog.askResume(details))) return;
  toast("ok", t("resume.done"));
  changed();
}

/** @param {API.Row} task */
async function offerRestart(task) {
  const choice = await askWhich({
    title: t("resume.none.title"),
    text: [h("p", {}, nameOf(task)), h("p", {}, t("resume.none.text"))],
    choices: [{ label: t("restart"), value: "restart", kind: "primary" }],
  });
  if (choice) await restartNow(task);
}

/** @type {Action} */
async function restart(task) {
  const choice = await askWhich({
    title: t("restart.title"),
    text: [h("p", {}, nameOf(task)), h("p", {}, t("restart.text"))],
    choices: [{ label: t("restart"), value: "restart", kind: "primary" }],
  });
  if (choice) await restartNow(task);
}

/** @param {API.Row} task */
async function restartNow(task) {
  const anew = await api.restart(task.task_id, crypto.randomUUID?.());
  toast("ok", t("restart.done"));
  go(taskAddress(anew.task_id));
}

/** @type {Action} */
async function remove(task, changed) {
  const choice = await askWhich({
    title: t("delete.title"),
    text: [h("p", {}, nameOf(task)), h("p", {}, t("delete.text"))],
    choices: [
      { label: t("delete.files"), value: "files", kind: "danger" },
      { label: t("delete.keep"), value: "keep", kind: "primary" },
    ],
  });
  if (!choice) return;
  await api.remove(task.task_id, choice === "files");
  toast("ok", t("delete.done"));
  changed("deleted");
}

/** @type {Action} */
async function changePriority(task, changed) {
  const priority = await askNumber({
    title: t("priority.change"),
    text: t("priority.text"),
    value: task.priority,
    min: -1000,
    max: 1000,
    action: t("save"),
  });
  if (priority === null) return;
  await api.change(task.task_id, { priority });
  changed();
}
