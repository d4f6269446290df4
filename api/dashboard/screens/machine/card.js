// A GPU as a card: four readings with bars and lines, its task, processes and health.

import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { machine, now } from "../../app/machine.js";
import { gpuAddress } from "../../app/router.js";
import { h, setAttribute, setText } from "../../ui/dom.js";
import { gpuName, gpuReference } from "../../ui/gpus.js";
import { meter } from "../../ui/meter.js";
import { Sparkline } from "../../ui/sparkline.js";
import { statusChip, toneOf } from "../../ui/status.js";
import { condition } from "./condition.js";
import { History, historyName } from "./history.js";
import { holders } from "./holders.js";
import { occupant } from "./occupant.js";
import { READINGS } from "./readings.js";
import { staleness } from "./staleness.js";

// Details are fetched when the status changes, again after the service has read the processes (every 15 s),
// and rarely otherwise: the more GPUs, the more rarely.
const PROCESSES_SECONDS = 16;
const DETAILS_SECONDS = 60;
const DETAILS_SECONDS_EACH = 8;
const PAGE_POINTS = 300;

/** @param {import("./readings.js").Reading} reading */
function readingRow(reading) {
  const [value, total] = [h("b"), h("span", { class: "faint small" })];
  const bar = meter(reading.label);
  const line = new Sparkline("--fill");
  const element = h(
    "div",
    { class: "reading", data: { metric: reading.metric } },
    h(
      "div",
      { class: "reading-head" },
      h("span", { class: "label" }, reading.label),
      h("span", { class: "value" }, value, " ", total),
    ),
    h("div", { class: "spark" }, line.element),
    bar.element,
  );
  return {
    element,
    close: () => line.close(),
    /** @param {API.GPU} gpu @param {History} history */
    update(gpu, history) {
      setText(value, reading.value(gpu));
      setText(total, reading.total(gpu));
      bar.update(reading.bar(gpu), reading.level(gpu));
      setAttribute(element, "data-level", reading.level(gpu));
      line.top = reading.top(gpu);
      line.update(history.get(reading.metric), now() - history.seconds, now());
    },
  };
}

/** Its status and reason without numbers, which change all the time. @param {API.GPU} gpu */
const statusOf = (gpu) => `${gpu.status} ${gpu.current_task?.task_id} ${gpu.status_reason?.replace(/[\d,]+/g, "")}`;

/**
 * @param {API.GPU} first its current state
 * @param {import("./history.js").Range} range time range of the lines
 * @param {{isPage?: boolean, drawn?: (history: History) => void}} [options] `drawn` is called when the lines have changed
 */
export function gpuCard(first, range, { isPage = false, drawn = () => {} } = {}) {
  const id = historyName(first);
  const history = new History(
    id,
    range,
    READINGS.map((reading) => reading.metric),
    isPage ? PAGE_POINTS : undefined,
  );
  const [chip, age, task, held] = [statusChip("gpu"), staleness(), occupant(), holders()];
  const title = h(
    "h2",
    {},
    isPage ? gpuName(first.gpu_id) : h("a", { href: gpuAddress(gpuReference(first)) }, gpuName(first.gpu_id)),
  );
  const name = h("p", { class: "faint small clip" });
  const why = condition(isPage);
  const rows = READINGS.map(readingRow);
  const element = h(
    "article",
    { class: "panel gpu-card", "aria-label": gpuName(first.gpu_id) },
    h("header", {}, h("div", { class: "grow" }, title, name), age.element, chip.element),
    h(
      "div",
      { class: "body" },
      h(
        "div",
        { class: "readings" },
        rows.map((row) => row.element),
      ),
      why.element,
      task.element,
      held.element,
    ),
  );
  let gpu = first;
  let fetchedAt = -Infinity;
  let fetchedStatus = "";
  let isSettled = true;
  /** @type {API.GPUHealth|null} */
  let health = null;

  function isDue() {
    const age = (performance.now() - fetchedAt) / 1000;
    const rest = isSettled
      ? Math.max(DETAILS_SECONDS, DETAILS_SECONDS_EACH * (machine.value?.gpus.length ?? 0))
      : PROCESSES_SECONDS;
    return fetchedStatus !== statusOf(gpu) || age > rest;
  }

  async function askDetails() {
    fetchedAt = performance.now();
    isSettled = fetchedStatus === statusOf(gpu);
    fetchedStatus = statusOf(gpu);
    try {
      const details = await api.gpu(id);
      health = details.health;
      why.update(gpu, health);
      held.update(details.processes);
    } catch {
      // The next poll isRequired again.
    }
  }

  function redraw() {
    for (const row of rows) row.update(gpu, history);
    drawn(history);
  }

  history.load(redraw);
  return {
    element,
    /** @param {API.GPU} reading */
    update(reading) {
      gpu = reading;
      history.add(gpu);
      setText(name, gpu.name ?? t("gpu.nameless"));
      chip.update(gpu.status);
      setAttribute(element, "data-tone", toneOf("gpu", gpu.status));
      element.classList.toggle("stale", age.update(gpu));
      why.update(gpu, health);
      task.update(gpu.current_task);
      redraw();
      if (isDue()) askDetails();
    },
    close() {
      history.close();
      for (const row of rows) row.close();
    },
  };
}
