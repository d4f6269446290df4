// Why a task waits, by reason code, so that names become links. Unknown codes show the service's sentence.

import { labelFor, t, translate } from "../app/i18n.js";
import { taskAddress } from "../app/router.js";
import { h } from "./dom.js";
import { duration, weekdayTime } from "./format.js";
import { gpusCalled } from "./gpus.js";

const HOLDERS = /** @type {const} */ (["held_by", "kept_for", "goes_to"]);

/**
 * What prevents the start.
 * @typedef {object} Obstacle
 * @property {string} kind
 * @property {string} gpus their indexes
 * @property {boolean} is_one
 * @property {string|null} task_id
 * @property {string|null} name
 * @property {string} what
 * @property {string} detail
 * @property {API.Reason|null} detail_code
 */

/**
 * The reason of a task that needs GPUs.
 * @typedef {object} Needs
 * @property {string} gpus
 * @property {number} gpu_count
 * @property {number|null} min_memory
 * @property {Obstacle[]} obstacles
 * @property {number} more
 * @property {string[]} absent
 */

/** Without id and name it belongs to another user and is hidden.
 * @typedef {{task_id: string|null, name: string|null}} NamedTask */

/**
 * Reasons that are shown with links.
 * @typedef {{code: "needs_gpus", params: Needs}
 *   | {code: "tries_again", params: {seconds: number}}
 *   | {code: "not_before", params: {until: string}}
 *   | {code: "preempted", params: NamedTask}
 *   | {code: "caching", params: {tasks: NamedTask[]}}} Known
 */

/** @param {string|null} text @param {API.Reason|null} code @returns {Child[]} */
export function waitingText(text, code) {
  if (!text) return [];
  const known = /** @type {Known|null} */ (code);
  if (known?.code === "needs_gpus") return needs(known.params);
  if (known?.code === "tries_again") return [t("wait.tries_again", { time: duration(known.params.seconds) })];
  if (known?.code === "not_before") return [t("wait.not_before", { time: weekdayTime(known.params.until) })];
  if (known?.code === "preempted") return between("wait.preempted", taskLink(known.params));
  if (known?.code === "caching")
    return between(
      "wait.caching",
      known.params.tasks.flatMap((task, i) => [i > 0 && ", ", taskLink(task)]),
    );
  return [translate(text, code)];
}

/** @param {Needs} wanted @returns {Child[]} */
function needs({ gpus: named, gpu_count: count, min_memory: memory, obstacles, more, absent }) {
  const needed = named.length ? gpusCalled(named) : t(count === 1 ? "gpus.count.one" : "gpus.count", { n: count });
  const with_ = memory && !named.length ? t("wait.memory", { mb: memory.toLocaleString() }) : "";
  const parts = [
    ...obstacles.map(obstacle),
    ...(more ? [[t("wait.more", { n: more })]] : []),
    ...absent.map((name) => [t("wait.absent", { gpu: gpusCalled(name) })]),
  ];
  const reasons = parts.length ? parts.flatMap((part, i) => [i > 0 && t("wait.comma"), part]) : [t("wait.few")];
  return [t("wait.needs", { needed: needed + with_ }), reasons];
}

/** @typedef {typeof HOLDERS[number]|"too_small"|"status"|"not_startable"|"not_known"} Kind */

/** @param {Obstacle} way @returns {Child[]} */
function obstacle({ kind, gpus, is_one: isOne, task_id: id, name, what, detail, detail_code: code }) {
  const form = (/** @type {Kind} */ key) =>
    isOne ? /** @type {const} */ (`wait.${key}.one`) : /** @type {const} */ (`wait.${key}`);
  const called = gpusCalled(gpus);
  const holder = HOLDERS.find((each) => each === kind);
  if (holder) return between(form(holder), taskLink({ task_id: id, name }), { gpus: called });
  if (kind === "too_small") return [t(form("too_small"), { gpus: called, mb: what })];
  // Of a paused GPU, its own reason would say the same again.
  if (kind === "status" && (what === "paused" || what === "closed"))
    return [
      t(form("status"), { gpus: called, status: labelFor("gpu", what) }),
      code?.params?.until ? t("wait.until", { until: String(code.params.until) }) : "",
    ];
  if (kind === "status")
    return [
      t(form("status"), { gpus: called, status: labelFor("gpu", what) }),
      detail ? t("wait.detail", { detail: translate(detail, code) }) : "",
    ];
  if (kind === "not_startable")
    return [
      t(form("not_startable"), { gpus: called }),
      detail ? t("wait.detail", { detail: translate(detail, code) }) : "",
    ];
  return [t(form("not_known"), { gpus: called })];
}

/** @param {NamedTask} task */
const taskLink = ({ task_id: id, name }) =>
  id && /^(train|cache)_/.test(id)
    ? h("a.foreign", { href: taskAddress(id) }, name || id)
    : h("span.foreign", name || id || t("wait.another"));

/**
 * A sentence with nodes in place of {task}.
 * @param {WordKey} key @param {Child} nodes @param {Record<string, string>} [values] @returns {Child[]}
 */
function between(key, nodes, values = {}) {
  const [before, after] = t(key, values).split("{task}");
  return [before, nodes, after];
}
