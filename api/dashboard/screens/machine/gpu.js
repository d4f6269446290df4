// The screen of one GPU: card, charts, processes, and details.

import { api, Refused } from "../../app/api.js";
import { labelFor, t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { Chart } from "../../ui/chart.js";
import { fill, h } from "../../ui/dom.js";
import { clockTime, gigabytes, isKnown, UNKNOWN } from "../../ui/format.js";
import { gpuName, gpuReference } from "../../ui/gpus.js";
import { backLink } from "../../ui/sections.js";
import { note } from "../../ui/status.js";
import { gpuCard } from "./card.js";
import { eventTable } from "./events.js";
import { processTable } from "./holders.js";
import { pauseButton } from "./pause.js";
import { powerLimit } from "./power_limit.js";
import { rangeChoice } from "./range.js";
import { READINGS } from "./readings.js";

const REFETCH_MS = 60_000;

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, place) {
  const cardPlace = h("div");
  const [processes, facts, events] = [h("div"), h("div"), h("div")];
  const charts = READINGS.map((reading) => ({
    reading,
    chart: new Chart({
      label: reading.label,
      height: 11,
      isTime: true,
      showX: (x) => clockTime(x * 1000),
      xLabel: "",
      showY: reading.metric === "memory_used" ? gigabytes : undefined,
      series: [{ label: reading.label, colour: "--series-1", show: reading.show }],
    }),
  }));
  const pausing = pauseButton();
  const limit = powerLimit();
  const range = rangeChoice(() => {
    card?.close();
    card = null;
    draw(machine.value);
    refetch().catch(() => app.stream.retry());
  });
  /** @type {ReturnType<typeof gpuCard>|null} */
  let card = null;
  let lastStatus = "";

  /** @param {API.Snapshot|null} snapshot */
  function draw(snapshot) {
    if (!snapshot) return;
    const gpu = snapshot.gpus.find(
      (one) => String(gpuReference(one)) === place.id || one.uuid === place.id || String(one.gpu_id) === place.id,
    );
    if (!gpu) return void fill(cardPlace, note("bad", h("p", t("gpu.missing", { n: place.id }))));
    if (!card) {
      card = gpuCard(gpu, range.value, { isPage: true, drawn: drawCharts });
      fill(cardPlace, card.element);
    }
    for (const { reading, chart } of charts) chart.top = reading.top(gpu);
    card.update(gpu);
    pausing.update(gpu);
    limit.update(gpu);
    // Data missing in the snapshot changes with the status.
    if (lastStatus !== "" && lastStatus !== gpu.status) refetch().catch(() => app.stream.retry());
    lastStatus = gpu.status;
  }

  /** @param {import("./history.js").History} history */
  function drawCharts(history) {
    for (const { reading, chart } of charts) {
      const points = history.get(reading.metric);
      chart.set([points.map(([time]) => time), points.map(([, value]) => value)]);
    }
  }

  async function refetch() {
    const [details, held, happened] = await Promise.all([
      api.gpu(place.id),
      api.gpuProcesses(place.id),
      api.gpuEvents({ gpu_id: place.id, limit: 50 }),
      limit.refetch(place.id),
    ]);
    fill(processes, processTable(held, details));
    fill(facts, factList(details));
    fill(events, eventTable(happened.events));
  }

  /** @param {string} title @param {...Child} body */
  const panel = (title, ...body) => h("section.panel", h("header", h("h2", title)), h("div.body", body));
  const unwatch = machine.watch(draw);
  const ticking = setInterval(() => document.hidden || refetch().catch(() => {}), REFETCH_MS);
  return {
    element: h(
      "div.screen",
      backLink("#/gpus", t("gpus")),
      h("div.screen-head", h("h1", gpuName(place.id)), h("div.tools", limit.button, pausing.element, range.element)),
      limit.problem,
      h(
        "div.gpu-page",
        cardPlace,
        h(
          "div.gpu-charts",
          charts.map(({ chart }) => h("section.panel", h("div.body.top", chart.element))),
        ),
      ),
      panel(t("holders"), processes),
      h("div.two", panel(t("gpu.facts"), facts), panel(t("events"), events)),
    ),
    title: () => gpuName(place.id),
    topics: "gpu,system",
    on: {},
    refetch: () => refetch().catch(ignoreMissing),
    close() {
      unwatch();
      clearInterval(ticking);
      card?.close();
      for (const { chart } of charts) chart.close();
    },
  };
}

/** The GPU does not exist any more: the screen shows that itself. @param {unknown} error */
function ignoreMissing(error) {
  if (!(error instanceof Refused) || error.status !== 404) throw error;
}

/** @param {API.GPUDetails} gpu */
function factList(gpu) {
  const rows = {
    name: gpu.name,
    uuid: gpu.uuid,
    serial: gpu.serial,
    architecture: [gpu.architecture, gpu.compute_capability].filter(Boolean).join(" · "),
    driver: [gpu.driver_version, gpu.cuda_version && `CUDA ${gpu.cuda_version}`].filter(Boolean).join(" · "),
    pcie: isKnown(gpu.pcie.generation) ? `${gpu.pcie.bus_id} · Gen ${gpu.pcie.generation} ×${gpu.pcie.width}` : null,
    clocks: isKnown(gpu.clocks.current.sm) ? `${gpu.clocks.current.sm} / ${gpu.clocks.max.sm ?? UNKNOWN} MHz` : null,
    pstate: isKnown(gpu.pstate) ? `P${gpu.pstate}` : null,
    // An idle GPU has low clocks because of missing load; do not list that as throttling.
    throttle: gpu.throttle_reasons
      ?.filter((reason) => reason !== "gpu_idle")
      .map((reason) => reason.replaceAll("_", " "))
      .join(", "),
    slowdown: isKnown(gpu.temperature.slowdown) ? `${gpu.temperature.slowdown} °C` : null,
    memtemp: isKnown(gpu.temperature.memory) ? `${gpu.temperature.memory} °C` : null,
    fan: isKnown(gpu.fan_speed) ? `${gpu.fan_speed} %` : null,
    ecc: gpu.ecc && isKnown(gpu.ecc.uncorrected_volatile) ? t("ecc.errors", { n: gpu.ecc.uncorrected_volatile }) : null,
    mig: isKnown(gpu.mig.enabled) ? t(gpu.mig.enabled ? "yes" : "no") : null,
  };
  return h(
    "dl.facts",
    Object.entries(rows).map(([name, value]) => [h("dt", labelFor("fact", name)), h("dd", value || UNKNOWN)]),
  );
}
