// What a start would do.

import { gpuNames } from "../../components/gpus.js";
import { measuredWords } from "../../components/memory.js";
import { scrollable } from "../../components/scroll.js";
import { note } from "../../components/status.js";
import { waitingWords } from "../../components/waiting.js";
import { h } from "../../dom.js";
import { count, gigabytes, isKnown } from "../../format.js";
import { t, word } from "../../i18n.js";

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
