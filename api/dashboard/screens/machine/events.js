// Events of GPUs: changes of status and health, Xid errors.

import { labelFor, t, translate } from "../../app/i18n.js";
import { gpuAddress, nodesAddress } from "../../app/router.js";
import { h } from "../../ui/dom.js";
import { isKnown } from "../../ui/format.js";
import { gpuName, gpuReference } from "../../ui/gpus.js";
import { prose } from "../../ui/prose.js";
import { table } from "../../ui/table.js";
import { time } from "../../ui/time.js";

/** @type {Record<string, string>} */
const TONES = { critical: "bad", warning: "warn" };

/** @param {API.GPUEvent[]} events newest first @param {boolean} [namesGPU] whether to show the GPU of each */
export function eventTable(events, namesGPU = false) {
  if (!events.length) return h("p", { class: "faint small" }, t("events.none"));
  const row = (/** @type {API.GPUEvent} */ event) =>
    h(
      "tr",
      {},
      h("td", { class: "faint" }, time(event.timestamp)),
      namesGPU &&
        h(
          "td",
          { class: "nowrap" },
          isKnown(event.gpu_id)
            ? h("a", { href: gpuAddress(gpuReference(event)) }, gpuName(gpuReference(event)))
            : event.node && h("a", { href: nodesAddress }, event.node),
        ),
      h("td", { class: `nowrap ${TONES[event.severity] ?? "soft"}` }, labelFor("event", event.type)),
      h("td", { class: "foreign" }, prose(translate(event.message, event.message_code))),
    );
  return table(null, events.map(row));
}
