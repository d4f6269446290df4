// Actions on all selected tasks: one request per task, and one message about all results.

import { whyNot } from "../../app/access.js";
import { api, Refused, Unreachable } from "../../app/api.js";
import { refusalText } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { go } from "../../app/router.js";
import { askSure, askWhich } from "../../ui/dialog.js";
import { fill, h, setText } from "../../ui/dom.js";
import { splitTags } from "../../ui/fields.js";
import { askFields } from "../../ui/form_dialog.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { isFinished } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { compareAddress, LEAST, MOST } from "../compare/state.js";
import { priorityField, readPriority } from "./actions.js";

/** Requests at a time. */
const AT_ONCE = 4;
/** Most names of tasks in a message. */
const NAMED = 5;

/** Sends the request for one task. @typedef {(task: API.Row) => Promise<unknown>} Run */

/**
 * `ask` asks for what is needed, and returns the request of each task, or null if the user cancels.
 * @typedef {object} Action
 * @property {"stop"|"resume"|"queue.first"|"priority"|"tags"|"delete"} label
 * @property {import("../../ui/icons.js").IconName} icon
 * @property {(task: API.Row) => boolean} applies
 * @property {(tasks: API.Row[]) => Promise<Run|null>} ask
 * @property {boolean} [danger]
 * @property {boolean} [isReversed] one request at a time, from the last task to the first
 */

const isWaiting = (/** @type {API.Row} */ task) => task.status === "queued";
const hasEnded = (/** @type {API.Row} */ task) => isFinished(task.status);

/** @type {Action[]} */
const ACTIONS = [
  { label: "stop", icon: "stop", applies: (task) => !hasEnded(task), ask: askStop, danger: true },
  { label: "resume", icon: "resume", applies: hasEnded, ask: askResume },
  {
    label: "queue.first",
    icon: "up",
    applies: isWaiting,
    ask: async () => (task) => api.change(task.task_id, { queue_position: "first" }),
    // So that the first task of the selection ends up first.
    isReversed: true,
  },
  { label: "priority", icon: "priority", applies: (task) => !hasEnded(task), ask: askPriority },
  { label: "tags", icon: "tag", applies: () => true, ask: askTags },
  { label: "delete", icon: "trash", applies: hasEnded, ask: askDelete, danger: true },
];

/** @param {API.Row[]} tasks @returns {Promise<Run|null>} */
async function askStop(tasks) {
  const isOnlyQueued = tasks.every(isWaiting);
  const how = await askWhich({
    title: t("bulk.stop.title", { n: count(tasks.length) }),
    text: [!isOnlyQueued && h("p", t("stop.text")), nameList(tasks)],
    choices: isOnlyQueued
      ? [{ label: t("stop.queued.do"), value: "soft", kind: "danger" }]
      : [
          { label: t("bulk.stop.force"), value: "force", kind: "danger" },
          { label: t("stop.save"), value: "soft", kind: "primary" },
        ],
  });
  return how === null ? null : (task) => api.stop(task.task_id, { force: how === "force" });
}

/** @param {API.Row[]} tasks @returns {Promise<Run|null>} */
async function askResume(tasks) {
  const isSure = await askSure({
    title: t("bulk.resume.title", { n: count(tasks.length) }),
    text: [h("p", t("bulk.resume.text")), nameList(tasks)],
    action: t("resume"),
    kind: "primary",
  });
  return isSure ? (task) => api.resume(task.task_id, {}) : null;
}

/** @param {API.Row[]} tasks @returns {Promise<Run|null>} */
async function askPriority([first]) {
  const given = await askValues(t("priority.change"), [priorityField(first.priority)]);
  return given && ((task) => api.change(task.task_id, { priority: readPriority(given.priority) }));
}

/** @returns {Promise<Run|null>} */
async function askTags() {
  const field = (/** @type {"add"|"remove"} */ name) => ({ name, label: t(`tags.${name}`), value: "" });
  const given = await askValues(t("tags"), [{ ...field("add"), hint: t("data.tags.hint") }, field("remove")]);
  if (given === null) return null;
  const [added, removed] = [splitTags(given.add), new Set(splitTags(given.remove))];
  return ({ task_id: id, tags }) =>
    api.change(id, { tags: [...new Set([...tags.filter((tag) => !removed.has(tag)), ...added])] });
}

/** @param {API.Row[]} tasks @returns {Promise<Run|null>} */
async function askDelete(tasks) {
  const how = await askWhich({
    title: t("bulk.delete.title", { n: count(tasks.length) }),
    text: [h("p", t("delete.text")), nameList(tasks)],
    choices: [
      { label: t("delete.files"), value: "files", kind: "danger" },
      { label: t("delete.keep"), value: "keep", kind: "primary" },
    ],
  });
  return how === null ? null : (task) => api.remove(task.task_id, how === "files");
}

/**
 * Asks for the values of these fields; null: cancelled.
 * @param {string} title @param {import("../../ui/form_dialog.js").Field[]} fields
 */
async function askValues(title, fields) {
  /** @type {Record<string, string>|null} */
  let given = null;
  await askFields(title, fields, t("save"), async (values) => {
    given = values;
  });
  return /** @type {Record<string, string>|null} */ (given);
}

/** The first names, and how many more there are. @param {API.Row[]} tasks */
function nameList(tasks) {
  const names = tasks.slice(0, NAMED).map((task) => task.name ?? task.task_id);
  const more = tasks.length - names.length;
  return h("p.foreign", names.join(", "), more > 0 && ` ${t("bulk.more", { n: count(more) })}`);
}

/**
 * Runs the requests. After an error that concerns all of them, the rest is not sent.
 * @param {API.Row[]} tasks @param {Run} run @param {number} atOnce @param {(done: number) => void} progress
 */
async function runAll(tasks, run, atOnce, progress) {
  const waiting = [...tasks];
  /** @type {{task: API.Row, error: unknown}[]} */
  const failed = [];
  let ended = 0;
  const work = async () => {
    for (let task = waiting.shift(); task; task = waiting.shift()) {
      try {
        await run(task);
      } catch (error) {
        failed.push({ task, error });
        const isForAll =
          error instanceof Unreachable || (error instanceof Refused && [401, 429].includes(error.status));
        if (isForAll) failed.push(...waiting.splice(0).map((other) => ({ task: other, error })));
      }
      ended += 1;
      progress(ended);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return failed;
}

/** @param {Action} action @param {API.Row[]} tasks @param {{task: API.Row, error: unknown}[]} failed */
function report(action, tasks, failed) {
  const all = count(tasks.length);
  const summary = t("bulk.done", { action: t(action.label), n: count(tasks.length - failed.length), all });
  if (!failed.length) return toast("ok", summary);
  /** @type {Map<string, API.Row[]>} */
  const byReason = new Map();
  for (const { task, error } of failed) {
    const reason = refusalText(error);
    byReason.set(reason, [...(byReason.get(reason) ?? []), task]);
  }
  const reasons = [...byReason].map(([reason, of]) => h("li", h("span.foreign", reason), nameList(of)));
  return toast("bad", h("p", summary), h("ul.failures", reasons));
}

/**
 * The bar with the actions on the selected tasks.
 * @param {import("./chosen.js").Chosen} chosen
 * @param {() => unknown} changed called after an action
 */
export function bulkBar(chosen, changed) {
  const [number, buttons] = [h("strong", { role: "status" }), h("div.choices")];
  const clear = h(
    "button.button.small.clear",
    { on: { click: () => chosen.replace([]) } },
    icon("close"),
    t("select.none"),
  );
  const element = h("section.bulk", { hidden: true, "aria-label": t("select.actions") }, number, buttons, clear);
  let isBusy = false;

  /** @param {Action} action @param {API.Row[]} tasks */
  async function act(action, tasks) {
    const run = await action.ask(tasks);
    if (!run) return;
    isBusy = true;
    update();
    const line = action.isReversed ? [...tasks].reverse() : tasks;
    const failed = await runAll(line, run, action.isReversed ? 1 : AT_ONCE, (done) =>
      setText(number, t("bulk.working", { n: count(done), all: count(tasks.length) })),
    );
    isBusy = false;
    report(action, tasks, failed);
    // The failed ones stay selected, for another try.
    chosen.replace(failed.map(({ task }) => task));
    changed();
  }

  /** @param {Action} action */
  function button(action) {
    const tasks = chosen.tasks.filter((task) => action.applies(task) && !whyNot("training:write", task.owner));
    const isPart = tasks.length > 0 && tasks.length < chosen.size;
    const run = () => (tasks.length && !isBusy ? void act(action, tasks) : toast("bad", t("bulk.none")));
    return h(
      "button",
      {
        class: `button small ${action.danger ? "danger" : ""}`,
        disabled: isBusy,
        "aria-disabled": tasks.length ? null : "true",
        title: tasks.length ? null : t("bulk.none"),
        on: { click: run },
      },
      icon(action.icon),
      t(action.label),
      isPart && ` (${count(tasks.length)})`,
    );
  }

  function compareButton() {
    const fits = chosen.size >= LEAST && chosen.size <= MOST;
    const run = () => (fits ? go(compareAddress(chosen.tasks.map(({ task_id: id }) => id))) : toast("bad", why));
    const why = t("compare.limit");
    return h(
      "button.button.small",
      { "aria-disabled": fits ? null : "true", title: fits ? null : why, on: { click: run } },
      icon("chart"),
      t("compare.do"),
    );
  }

  function update() {
    element.hidden = chosen.size === 0;
    if (!isBusy) setText(number, t("select.n", { n: count(chosen.size) }));
    const focused = [...buttons.children].indexOf(/** @type {Element} */ (document.activeElement));
    fill(buttons, compareButton(), ACTIONS.map(button));
    const again = buttons.children[focused];
    if (again instanceof HTMLElement) again.focus();
  }

  return { element, update };
}
