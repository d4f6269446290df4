// Why a task waits: by the code of the reason, so that names lead to their tasks; as it was said where the code is new.

import { h } from "../dom.js";
import { duration } from "../format.js";
import { t, tell, word } from "../i18n.js";
import { taskAddress } from "../router.js";
import { gpusCalled } from "./gpus.js";

const HOLDERS = ["held_by", "kept_for", "goes_to"];

/** @param {string|null} text @param {{code: string, params: any}|null} code @returns {(Node|string)[]} */
export function waitingWords(text, code) {
  if (!text) return [];
  if (code?.code === "needs_gpus") return needs(code.params);
  if (code?.code === "tries_again") return [t("wait.tries_again", { time: duration(code.params.seconds) })];
  if (code?.code === "caching") return between("wait.caching", code.params.tasks.flatMap((task, i) => [i > 0 && ", ", taskLink(task)]));
  return [tell(text, code)];
}

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

function obstacle({ kind, gpus, is_one: isOne, task_id: id, name, what, detail, detail_code: code }) {
  const form = (key) => (isOne ? `${key}.one` : key);
  const called = gpusCalled(gpus);
  if (HOLDERS.includes(kind)) return between(form(`wait.${kind}`), taskLink({ task_id: id, name }), { gpus: called });
  if (kind === "too_small") return [t(form("wait.too_small"), { gpus: called, mb: what })];
  if (kind === "status")
    return [t(form("wait.status"), { gpus: called, status: word("gpu", what) }), detail ? t("wait.detail", { detail: tell(detail, code) }) : ""];
  return [t(form("wait.not_known"), { gpus: called })];
}

const taskLink = ({ task_id: id, name }) =>
  /^train_/.test(id) ? h("a", { class: "foreign", href: taskAddress(id) }, name || id) : h("span", { class: "foreign" }, name || id);

/** A sentence with nodes in the place of {task}. */
function between(key, nodes, values = {}) {
  const [before, after] = t(key, values).split("{task}");
  return [before, nodes, after];
}
