// What a rehearsal shows about the training.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { bytes, count, duration, figure, gigabytes, isKnown } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { panel } from "../../ui/panel.js";
import { isFinished } from "../../ui/status.js";

export function rehearsalView() {
  const body = h("div.body.stack");
  const element = panel("", t("rehearsal"), null, body);
  element.hidden = true;
  return {
    element,
    /** @param {API.Task} task */
    update({ task_id: id, gpu_ids: gpus, gpu_uuids: uuids, plan, rehearsal: found, status }) {
      element.hidden = !found;
      if (!found) return;
      /** @param {WordKey} key @param {string|null} value @returns {Child} */
      const fact = (key, value) => value !== null && [h("dt", t(key)), h("dd", value)];
      const items = plan.rehearsal?.items ?? [];
      const memory = uuids.map((uuid, at) => {
        const mb = found.peak_memory_mb?.[uuid];
        const used = isKnown(mb) ? t("gigabytes.n", { gb: gigabytes(mb) }) : t("unknown");
        return uuids.length > 1 ? `${t("gpu.n", { n: gpus[at] ?? uuid })}: ${used}` : used;
      });
      fill(
        body,
        h(
          "dl.facts",
          fact("rehearsal.items", items.length ? items.map(({ name }) => name).join(", ") : null),
          fact("rehearsal.steps", isKnown(found.steps) ? `${count(found.steps)} / ${count(plan.total_steps)}` : null),
          fact("rehearsal.memory", memory.length ? memory.join(" · ") : null),
          fact(
            "rehearsal.pace",
            isKnown(found.seconds_per_step) ? `${figure(found.seconds_per_step)} ${t("unit.s")}` : t("unknown"),
          ),
          fact("plan.steps", count(found.total_steps)),
          fact(
            "rehearsal.duration",
            isKnown(found.estimated_duration) ? duration(found.estimated_duration) : t("unknown"),
          ),
          fact("rehearsal.disk", isKnown(found.disk_mb) ? bytes(found.disk_mb * 2 ** 20) : t("unknown")),
          fact("rehearsal.model", isKnown(found.saved_model_bytes) ? bytes(found.saved_model_bytes) : null),
          fact("rehearsal.checkpoint", isKnown(found.checkpoint_bytes) ? bytes(found.checkpoint_bytes) : null),
        ),
        isFinished(status) &&
          h(
            "div.choices",
            h(
              status === "completed" ? "a.button.primary" : "a.button",
              { href: `#/new?from=${encodeURIComponent(id)}` },
              icon("play"),
              t("rehearsal.start"),
            ),
          ),
      );
    },
  };
}
