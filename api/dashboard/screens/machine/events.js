// Events of GPUs: changes of status and health, Xid errors.

import { api } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { gpuAddress, nodesAddress } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { isKnown } from "../../ui/format.js";
import { gpuName, gpuReference } from "../../ui/gpus.js";
import { panel } from "../../ui/panel.js";
import { prose } from "../../ui/prose.js";
import { sections } from "../../ui/sections.js";
import { loading } from "../../ui/states.js";
import { table } from "../../ui/table.js";
import { time } from "../../ui/time.js";

/** @type {Record<string, string>} */
const TONES = { critical: "bad", warning: "warn" };

/** @param {API.GPUEvent[]} events newest first @param {boolean} [namesGPU] whether to show the GPU of each */
export function eventTable(events, namesGPU = false) {
  if (!events.length) return h("p.faint.small", t("events.none"));
  const row = (/** @type {API.GPUEvent} */ event) =>
    h(
      "tr",
      h("td.faint", time(event.timestamp)),
      namesGPU &&
        h(
          "td.nowrap",
          isKnown(event.gpu_id)
            ? h("a", { href: gpuAddress(gpuReference(event)) }, gpuName(gpuReference(event)))
            : event.node && h("a", { href: nodesAddress }, event.node),
        ),
      h("td", { class: `nowrap ${TONES[event.severity] ?? "soft"}` }, labelFor("event", event.type)),
      h("td.foreign", prose(translate(event.message, event.message_code))),
    );
  return table(null, events.map(row));
}

const SHOWN = 200;
const PAUSE_MS = 500;

/** @param {import("../../app/main.js").App} app @returns {import("../../app/main.js").Screen} */
export function open(app) {
  const body = h("div.body", loading());
  const refetch = async () => void fill(body, eventTable((await api.gpuEvents({ limit: SHOWN })).events, true));
  const refetchSoon = soon(() => refetch().catch(() => app.stream.retry()), PAUSE_MS);
  let statuses = "";
  const unwatch = machine.watch((snapshot) => {
    const now = (snapshot?.gpus ?? []).map(({ status }) => status).join();
    if (statuses && statuses !== now) refetchSoon();
    statuses = now;
  });
  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("gpus")), sections("gpus", "#/gpus/events")),
      panel("gpu-events", t("events"), null, body),
    ),
    title: () => t("events"),
    topics: "gpu,system",
    on: {},
    refetch,
    close() {
      unwatch();
      refetchSoon.cancel();
    },
  };
}
