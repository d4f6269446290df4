// A GPU as a card: four readings with bars and lines, the task on it, who holds its memory, what is wrong with it.

import { api } from "../../api.js";
import { h, setAttribute, setText } from "../../dom.js";
import { t } from "../../i18n.js";
import { meter } from "../../components/meter.js";
import { Sparkline } from "../../components/sparkline.js";
import { statusChip, toneOf } from "../../components/status.js";
import { now } from "../../machine.js";
import { gpuAddress } from "../../router.js";
import { condition } from "./condition.js";
import { History } from "./history.js";
import { holders } from "./holders.js";
import { occupant } from "./occupant.js";
import { READINGS } from "./readings.js";
import { staleness } from "./staleness.js";

// The service reads processes every 15 s, and at once when the memory that is used moves.
const DETAILS_SECONDS = 15;
const MOVED_MB = 256;
const SOON_SECONDS = 3;

function readingRow(reading) {
  const [value, whole] = [h("b"), h("span", { class: "faint small" })];
  const bar = meter(reading.label);
  const line = new Sparkline("--fill");
  const element = h(
    "div",
    { class: "reading", data: { metric: reading.metric } },
    h(
      "div",
      { class: "reading-head" },
      h("span", { class: "label" }, reading.label),
      h("span", { class: "value" }, value, " ", whole),
    ),
    h("div", { class: "spark" }, line.element),
    bar.element,
  );
  return {
    element,
    close: () => line.close(),
    update(gpu, history) {
      setText(value, reading.value(gpu));
      setText(whole, reading.whole(gpu));
      bar.update(reading.bar(gpu), reading.level(gpu));
      setAttribute(element, "data-level", reading.level(gpu));
      line.top = reading.top(gpu);
      line.update(history.get(reading.metric), now() - history.seconds, now());
    },
  };
}

/** Its status with the reason, but not the seconds and megabytes in it, which change all the time. */
const statusOf = (gpu) => `${gpu.status} ${gpu.status_reason?.replace(/[\d,]+/g, "")}`;

/**
 * @param {any} first the GPU as it is now
 * @param {string} range of the lines
 * @param {{isPage?: boolean}} [how]
 */
export function gpuCard(first, range, { isPage = false } = {}) {
  const id = first.uuid ?? first.gpu_id;
  const history = new History(
    id,
    range,
    READINGS.map((reading) => reading.metric),
  );
  const [chip, age, task, held] = [statusChip("gpu"), staleness(), occupant(), holders()];
  const title = h(
    "h2",
    {},
    isPage
      ? t("gpu.n", { n: first.gpu_id })
      : h("a", { href: gpuAddress(first.gpu_id) }, t("gpu.n", { n: first.gpu_id })),
  );
  const name = h("p", { class: "faint small clip" });
  const why = condition(isPage);
  const rows = READINGS.map(readingRow);
  const element = h(
    "article",
    { class: "panel gpu-card", "aria-label": t("gpu.n", { n: first.gpu_id }) },
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
  let askedAt = -Infinity;
  let askedStatus = null;
  let askedMemory = null;
  let health = null;

  function isDue() {
    const age = (performance.now() - askedAt) / 1000;
    const hasMoved = Math.abs((gpu.memory.used ?? 0) - (askedMemory ?? 0)) > MOVED_MB;
    return askedStatus !== statusOf(gpu) || age > DETAILS_SECONDS || (hasMoved && age > SOON_SECONDS);
  }

  async function askDetails() {
    askedAt = performance.now();
    askedStatus = statusOf(gpu);
    askedMemory = gpu.memory.used;
    try {
      const details = await api.gpu(id);
      health = details.health;
      why.update(gpu, health);
      held.update(details.processes);
    } catch {
      // The next round asks again.
    }
  }

  function redraw() {
    for (const row of rows) row.update(gpu, history);
  }

  history.load(redraw);
  return {
    element,
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
