// What a start would do.

import { t, word } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { count, gigabytes, isKnown } from "../../ui/format.js";
import { gpuNames } from "../../ui/gpus.js";
import { scrollable } from "../../ui/scroll.js";
import { note } from "../../ui/status.js";
import { waitingWords } from "../../ui/waiting.js";
import { measuredWords } from "./memory.js";

/** What is known of a cache made ahead. @param {API.PlannedCache|null} cache */
function cacheWords(cache) {
  if (!cache) return null;
  if (!cache.key) return t("plan.cache.never", { why: cache.reason ?? "" });
  return word("plan.cache", cache.state);
}

/** @param {API.Validation} found @returns {Child} */
export function planView({ plan, gpus }) {
  if (!plan) return null;
  /** @param {WordKey} key @param {string|null} value @returns {Child} */
  const fact = (key, value) => value !== null && [h("dt", {}, t(key)), h("dd", {}, value)];
  const measured = measuredWords(plan.memory ?? null);
  const memory = isKnown(plan.estimated_memory_mb)
    ? t("plan.memory.each", { gb: gigabytes(plan.estimated_memory_mb) })
    : t("unknown");
  return [
    gpus?.waiting_reason
      ? note(
          "idle",
          h("strong", {}, t("plan.waits")),
          h("p", {}, waitingWords(gpus.waiting_reason, gpus.waiting_reason_code)),
        )
      : null,
    h(
      "dl",
      { class: "facts" },
      fact("gpus", gpus?.gpu_ids?.length ? gpuNames(gpus.gpu_ids) : null),
      fact("plan.epochs", count(plan.epochs)),
      fact("plan.steps", count(plan.total_steps)),
      fact("plan.epoch", count(plan.steps_per_epoch)),
      fact("plan.batch", count(plan.global_batch_size)),
      fact("plan.items", count(plan.dataset_items)),
      fact("plan.cache", cacheWords(plan.cache ?? null)),
      fact("plan.memory", measured ?? memory),
      fact("plan.basis", plan.memory?.origin === "measured" ? null : plan.memory_basis),
    ),
    plan.notes.map((text) => note("idle", h("p", {}, text))),
    Object.entries(plan.files ?? {}).map(([name, text]) =>
      h("details", {}, h("summary", { class: "small soft" }, name), scrollable(h("pre", { class: "file" }, text))),
    ),
    h(
      "details",
      {},
      h("summary", { class: "small soft" }, t("plan.command")),
      scrollable(h("pre", { class: "file" }, plan.command.join(" "))),
    ),
  ];
}
