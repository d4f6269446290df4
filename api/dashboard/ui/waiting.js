// Why a task waits: by the code of the reason, so that names lead to their tasks; as it was said where the code is new.

import { t, tell, word } from "../app/i18n.js";
import { taskAddress } from "../app/router.js";
import { h } from "./dom.js";
import { duration } from "./format.js";
import { gpusCalled } from "./gpus.js";

const HOLDERS = /** @type {const} */ (["held_by", "kept_for", "goes_to"]);

/**
 * What stands in the way.
 * @typedef {object} Obstacle
 * @property {string} kind
 * @property {string} gpus their numbers
 * @property {boolean} is_one
 * @property {string|null} task_id
 * @property {string|null} name
 * @property {string} what
 * @property {string} detail
 * @property {API.Reason|null} detail_code
 */

/**
 * Of a task that needs GPUs.
 * @typedef {object} Needs
 * @property {string} gpus
 * @property {number} gpu_count
 * @property {number|null} min_memory
 * @property {Obstacle[]} obstacles
 * @property {number} more
 * @property {string[]} absent
 */

/** Without an id and a name it is a task of somebody else, which the reader may not see.
 * @typedef {{task_id: string|null, name: string|null}} NamedTask */

/**
 * The reasons that are said here with links.
 * @typedef {{code: "needs_gpus", params: Needs}
 *   | {code: "tries_again", params: {seconds: number}}
 *   | {code: "caching", params: {tasks: NamedTask[]}}} Known
 */

/** @param {string|null} text @param {API.Reason|null} code @returns {Child[]} */
export function waitingWords(text, code) {
  if (!text) return [];
  const known = /** @type {Known|null} */ (code);
  if (known?.code === "needs_gpus") return needs(known.params);
  if (known?.code === "tries_again") return [t("wait.tries_again", { time: duration(known.params.seconds) })];
  if (known?.code === "caching")
    return between(
      "wait.caching",
      known.params.tasks.flatMap((task, i) => [i > 0 && ", ", taskLink(task)]),
    );
  return [tell(text, code)];
}

/** @param {Needs} wanted @returns {Child[]} */
function needs({ gpus: named, gpu_count: count, min_memory: memory, obstacles, more, absent }) {
  const wish = named.length ? gpusCalled(named) : t(count === 1 ? "gpus.count.one" : "gpus.count", { n: count });
  const with_ = memory && !named.length ? t("wait.memory", { mb: memory.toLocaleString() }) : "";
  const parts = [
    ...obstacles.map(obstacle),
    ...(more ? [[t("wait.more", { n: more })]] : []),
    ...absent.map((name) => [t("wait.absent", { gpu: gpusCalled(name) })]),
  ];
  const said = parts.length ? parts.flatMap((part, i) => [i > 0 && t("wait.comma"), part]) : [t("wait.few")];
  return [t("wait.needs", { wish: wish + with_ }), said];
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
  if (kind === "status")
    return [
      t(form("status"), { gpus: called, status: word("gpu", what) }),
      detail ? t("wait.detail", { detail: tell(detail, code) }) : "",
    ];
  if (kind === "not_startable")
    return [t(form("not_startable"), { gpus: called }), detail ? t("wait.detail", { detail: tell(detail, code) }) : ""];
  return [t(form("not_known"), { gpus: called })];
}

/** @param {NamedTask} task */
const taskLink = ({ task_id: id, name }) =>
  id && /^(train|cache)_/.test(id)
    ? h("a", { class: "foreign", href: taskAddress(id) }, name || id)
    : h("span", { class: "foreign" }, name || id || t("wait.another"));

/**
 * A sentence with nodes in the place of {task}.
 * @param {WordKey} key @param {Child} nodes @param {Record<string, string>} [values] @returns {Child[]}
 */
function between(key, nodes, values = {}) {
  const [before, after] = t(key, values).split("{task}");
  return [before, nodes, after];
}
