// A GPU as a card: four readings with bars and lines, its task, processes and health.

import { api } from "../../app/api.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { machine, now } from "../../app/machine.js";
import { gpuAddress } from "../../app/router.js";
import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { weekdayTime } from "../../ui/format.js";
import { gpuName, gpuReference } from "../../ui/gpus.js";
import { meter } from "../../ui/meter.js";
import { prose } from "../../ui/prose.js";
import { Sparkline } from "../../ui/sparkline.js";
import { note, shownStatus, statusChip, toneOf } from "../../ui/status.js";
import { claimList } from "./claims.js";
import { History, historyName } from "./history.js";
import { holders } from "./holders.js";
import { occupant } from "./occupant.js";
import { pauseButton } from "./pause.js";
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
  const [value, total] = [h("b"), h("span.faint.small")];
  const bar = meter(reading.label);
  const line = new Sparkline("--fill");
  const element = h(
    "div.reading",
    { data: { metric: reading.metric } },
    h("div.reading-head", h("span.label", reading.label), h("span.value", value, " ", total)),
    h("div.spark", line.element),
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
    isPage ? gpuName(first.gpu_id) : h("a", { href: gpuAddress(gpuReference(first)) }, gpuName(first.gpu_id)),
  );
  const name = h("p.faint.small.clip");
  const why = condition(isPage);
  const claims = claimList();
  const pausing = isPage ? null : pauseButton({ isOnCard: true });
  const rows = READINGS.map(readingRow);
  const element = h(
    "article.panel.gpu-card",
    { "aria-label": gpuName(first.gpu_id) },
    h("header", h("div.grow", title, name), age.element, chip.element),
    h(
      "div.body",
      h(
        "div.readings",
        rows.map((row) => row.element),
      ),
      why.element,
      claims.element,
      task.element,
      held.element,
      pausing?.element,
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
      chip.update(shownStatus(gpu));
      setAttribute(element, "data-tone", toneOf("gpu", shownStatus(gpu)));
      element.classList.toggle("stale", age.update(gpu));
      why.update(gpu, health);
      claims.update(gpu);
      task.update(gpu.current_task);
      pausing?.update(gpu);
      redraw();
      if (isDue()) askDetails();
    },
    close() {
      history.close();
      for (const row of rows) row.close();
    },
  };
}

const TONES = /** @type {const} */ ({ healthy: "idle", unknown: "idle", degraded: "warn", unhealthy: "bad" });
/** Statuses whose task already names the holder. */
const HELD = ["training", "preprocessing", "busy"];

/** @param {boolean} isAlone whether nothing else on the screen reports a failing driver */
function condition(isAlone) {
  const element = h("div.condition");
  let drawn = "";
  return {
    element,
    /** @param {API.GPU} gpu @param {API.GPUHealth|null} health from its details, or null while unknown */
    update(gpu, health) {
      const reason = reasonOf(gpu, isAlone);
      const found = !health || health.verdict === "healthy" ? null : health;
      const key = JSON.stringify([reason, found]);
      if (key === drawn) return;
      drawn = key;
      if (!found) return void fill(element, reason && h("p.small.soft.foreign", prose(reason)));
      if (found.verdict === "unknown") return void fill(element, reason && unknownNote(reason, found));
      const isListed = !reason || reasonsOf(found).some((each) => reason.includes(each));
      fill(element, !isListed && h("p.small.soft.foreign", prose(reason)), healthNote(found));
    },
  };
}

/** @param {API.GPU} gpu @param {boolean} isAlone */
function reasonOf(gpu, isAlone) {
  if (gpu.paused_until) return t("gpu.paused_until", { until: weekdayTime(gpu.paused_until) });
  if (gpu.current_task && HELD.includes(gpu.status)) return "";
  const reason = gpu.status_reason ?? "";
  if (!isAlone && reason === machine.value?.source_problem) return "";
  return translate(reason, gpu.status_reason_code);
}

/** @param {API.GPUHealth} health */
const reasonsOf = (health) => health.reasons.map((reason, i) => translate(reason, health.reason_codes[i]));

/**
 * The GPU cannot be read: the status has the cause and the duration.
 * @param {string} reason @param {API.GPUHealth} health
 */
const unknownNote = (reason, health) => note("warn", h("p", prose(reason)), actions(health));

/** @param {API.GPUHealth} health */
const healthNote = (health) =>
  note(
    TONES[health.verdict],
    h("strong", labelFor("health", health.verdict)),
    reasonsOf(health).map((reason) => h("p", prose(reason))),
    actions(health),
  );

/** @param {API.GPUHealth} health @returns {Child} */
const actions = (health) =>
  health.suggested_actions.length > 0 && [
    h("p.what-to-do", t("remedy")),
    h(
      "ul",
      health.suggested_actions.map((action, i) => h("li", prose(translate(action, health.action_codes[i])))),
    ),
  ];
