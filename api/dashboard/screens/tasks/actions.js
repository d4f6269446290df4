// Actions on a task, with confirmations.

import { whyNot } from "../../app/access.js";
import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { go, taskAddress } from "../../app/router.js";
import { askSure, askWhich } from "../../ui/dialog.js";
import { h } from "../../ui/dom.js";
import { splitTags } from "../../ui/fields.js";
import { askFields } from "../../ui/form_dialog.js";
import { CLASSES, isoTime, localInput } from "../../ui/order.js";
import { isFinished } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";

/** Called after an action; with `deleted` if the task was deleted. @typedef {(what?: "deleted") => unknown} Changed */
/** Runs an action. @typedef {(task: API.Row, changed: Changed) => Promise<void>} Action */

/** @param {API.Row} task */
const nameOf = (task) => h("strong.foreign", task.name ?? task.task_id);

/**
 * The actions available for a task. Denied ones stay and show why.
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
  const compare = {
    label: t("compare.with"),
    icon: /** @type {const} */ ("chart"),
    run: () => void attempt(async () => (await import("../compare/choose.js")).compareWith(task.task_id)),
  };
  const others = task.kind === "training" ? [compare] : [];
  if (!isFinished(task.status)) {
    return [
      act(t(task.status === "stopping" ? "stop.harder" : "stop"), "stop", stop, true),
      ...(savesNow(task) ? [act(t("checkpoint.save"), "save", saveCheckpoint)] : []),
      ...(task.status === "queued" ? [act(t("queue.first"), "up", moveFirst)] : []),
      act(t("priority.change"), "priority", changePriority),
      act(t("notes.change"), "tag", changeNotes),
      ...others,
    ];
  }
  return [
    // Caches and rehearsals have no checkpoints: they are restarted. Samples and exports are requested on their training.
    ...(task.kind === "training" ? [act(t("resume.ask"), "resume", resume)] : []),
    ...(["sample", "export"].includes(task.kind) ? [] : [act(t("restart.ask"), "redo", restart)]),
    act(t("notes.change"), "tag", changeNotes),
    ...others,
    act(t("delete"), "trash", remove, true),
  ];
}

/** @type {Action} */
async function stop(task, changed) {
  const options = task.status === "stopping" ? "force" : await askHow(task);
  if (options === "force" && !(await isSure(task))) return;
  if (!options) return;
  await api.stop(task.task_id, { force: options === "force", keep_lora: options === "lora" });
  toast("ok", t("stop.started"));
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
    text: [h("p", nameOf(task)), h("p", t("stop.text"))],
    choices: [
      { label: t("stop.force"), value: "force", kind: "danger" },
      ...(task.kind === "training" ? [{ label: t("stop.lora"), value: "lora" }] : []),
      { label: t("stop.save"), value: "soft", kind: "primary" },
    ],
  });
}

/** @param {API.Row} task */
async function isSure(task) {
  return askSure({
    title: t("force.title"),
    text: [h("p", nameOf(task)), h("p", t("force.text"))],
    action: t("force.do"),
  });
}

/** Whether a checkpoint can be saved; not while it loads or caches. @param {API.Row} task */
const savesNow = ({ kind, status, progress }) =>
  kind === "training" && status === "running" && ["training", "evaluating", "saving"].includes(progress.stage ?? "");

/** @type {Action} */
async function saveCheckpoint(task, changed) {
  await api.save(task.task_id);
  toast("ok", t("checkpoint.requested"));
  changed();
}

/** @type {Action} */
async function resume(task, changed) {
  // A row of the list has no checkpoints; the dialog is loaded on demand.
  const [details, dialog] = await Promise.all([api.task(task.task_id), import("./resume_dialog.js")]);
  if (!dialog.completeCheckpoints(details).length) return askToRestart(task, "resume.none.title", "resume.none.text");
  if (!(await dialog.askResume(details))) return;
  toast("ok", t("resume.done"));
  changed();
}

/** @type {Action} */
const restart = (task) => askToRestart(task, "restart.title", "restart.text");

/** @param {API.Row} task @param {WordKey} title @param {WordKey} text */
async function askToRestart(task, title, text) {
  const isSure = await askSure({
    title: t(title),
    text: [h("p", nameOf(task)), h("p", t(text))],
    action: t("restart"),
    kind: "primary",
  });
  if (!isSure) return;
  const created = await api.restart(task.task_id, crypto.randomUUID?.());
  toast("ok", t("restart.done"));
  go(taskAddress(created.task_id));
}

/** @type {Action} */
async function remove(task, changed) {
  const choice = await askWhich({
    title: t("delete.title"),
    text: [h("p", nameOf(task)), h("p", t("delete.text"))],
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
async function moveFirst(task, changed) {
  await api.change(task.task_id, { queue_position: "first" });
  changed();
}

/** @type {Action} */
async function changeNotes({ task_id: id }, changed) {
  // A row of the list has no notes.
  const task = await api.task(id);
  const fields = [
    { name: "tags", label: t("tags"), hint: t("data.tags.hint"), value: task.tags.join(", ") },
    { name: "trigger", label: t("trigger_word"), value: task.trigger_word ?? "" },
    { name: "notes", label: t("notes"), rows: 6, value: task.notes ?? "" },
  ];
  const save = (/** @type {Record<string, string>} */ { tags, trigger, notes }) =>
    api.change(id, { tags: splitTags(tags), notes: notes.trim() || null, trigger_word: trigger.trim() || null });
  if (await askFields(t("notes.change"), fields, t("save"), save)) changed();
}

/** @param {number} value @returns {import("../../ui/form_dialog.js").Field} */
export const priorityField = (value) => ({
  name: "priority",
  label: t("priority"),
  value: String(value),
  pattern: "[\\-−]?\\d{1,4}",
  required: true,
  hint: t("priority.text"),
});

/** @param {string} text of its field */
export const readPriority = (text) => Number(text.replace("−", "-"));

/** @type {Action} */
async function changePriority(task, changed) {
  const fields = [
    { name: "class", label: t("class"), value: task.priority_class, options: CLASSES, hint: t("class.text") },
    priorityField(task.priority),
    {
      name: "notBefore",
      label: t("not_before"),
      value: localInput(task.not_before),
      type: /** @type {const} */ ("datetime-local"),
    },
  ];
  const save = (/** @type {Record<string, string>} */ { class: chosen, priority, notBefore }) =>
    api.change(task.task_id, {
      priority_class: /** @type {API.Row["priority_class"]} */ (chosen),
      priority: readPriority(priority),
      not_before: isoTime(notBefore),
    });
  if (await askFields(t("priority.change"), fields, t("save"), save)) changed();
}
