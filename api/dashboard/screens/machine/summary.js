// The machine in a few numbers.

import { api } from "../../app/api.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { h, setText } from "../../ui/dom.js";
import { count, duration, gigabytes, isKnown, percent, UNKNOWN } from "../../ui/format.js";
import { meter } from "../../ui/meter.js";
import { prose } from "../../ui/prose.js";
import { isFree, note, shownStatus } from "../../ui/status.js";

const OVERVIEW_SECONDS = 30;
/** @type {import("../../ui/status.js").ShownGPUStatus[]} */
const ORDER = ["training", "preprocessing", "busy", "draining", "available", "paused", "unknown", "lost"];

/** The number of GPUs of each status. @param {API.GPU[]} gpus */
export const countsText = (gpus) =>
  ORDER.map((status) => ({ status, n: gpus.filter((gpu) => shownStatus(gpu) === status).length }))
    .filter(({ n }) => n > 0)
    .map(({ status, n }) => `${n} ${labelFor("gpu", status)}`)
    .join(" · ");

/** Why the driver cannot be read. @param {API.Snapshot} snapshot */
export const problemNote = ({ source_problem: problem, source_problem_code: code }) =>
  problem && note("bad", h("strong", t("driver.problem")), h("p", prose(translate(problem, code))));

/** @param {WordKey} key */
function figure(key, hasBar = true) {
  const [value, under] = [h("b"), h("span.faint.small.clip")];
  const bar = meter(t(key));
  return {
    element: h("div.figure", h("span.label", t(key)), value, under, hasBar && bar.element),
    /** @param {string} text @param {string} more @param {number|null} share @param {string|null} [level] */
    say(text, more, share, level) {
      setText(value, text);
      setText(under, more);
      under.title = more;
      bar.update(share, level);
    },
  };
}

/** @param {(number|null)[]} values */
const sum = (values) => {
  const known = values.filter(isKnown);
  return known.length ? known.reduce((total, value) => total + value, 0) : null;
};

/** @param {number|null} part @param {number|null} whole */
const share = (part, whole) => (isKnown(part) && whole ? (100 * part) / whole : null);

export function summary() {
  const [gpus, use, memory, power] = [figure("sum.gpus"), figure("sum.use"), figure("sum.memory"), figure("sum.power")];
  const [trainings, host, disk] = [figure("sum.trainings", false), figure("sum.host"), figure("sum.disk")];
  const element = h(
    "section.figures-row.panel",
    { "aria-label": t("task.overview") },
    [gpus, use, memory, power, trainings, host, disk].map((part) => part.element),
  );
  let fetchedAt = -Infinity;

  /** @param {API.Snapshot} snapshot */
  function showGPUs({ gpus: known, summary: counts }) {
    // Stale readings are not current use.
    const fresh = known.filter(({ stale }) => !stale);
    const all = fresh.length ? fresh : known;
    const free = counts.available_gpus - known.filter((gpu) => gpu.is_available && !isFree(gpu)).length;
    const paused = known.filter((gpu) => shownStatus(gpu) === "paused").length;
    const busy = t("sum.busy", { n: counts.busy_gpus });
    gpus.say(
      `${free} / ${counts.total_gpus}`,
      paused ? `${busy} · ${t("sum.paused", { n: paused })}` : busy,
      share(free, counts.total_gpus),
      "ok",
    );
    const loads = all.map((gpu) => gpu.utilization_gpu).filter(isKnown);
    const mean = loads.length ? loads.reduce((a, b) => a + b, 0) / loads.length : null;
    use.say(percent(mean), t("sum.mean", { n: loads.length }), mean);
    const [used, whole] = [sum(all.map((gpu) => gpu.memory.used)), sum(all.map((gpu) => gpu.memory.total))];
    memory.say(
      isKnown(used) ? `${gigabytes(used)} GB` : UNKNOWN,
      t("of", { whole: `${gigabytes(counts.total_memory)} GB` }),
      share(used, whole),
    );
    const [drawn, limit] = [sum(all.map((gpu) => gpu.power_usage)), sum(all.map((gpu) => gpu.power_limit))];
    power.say(watts(drawn), isKnown(limit) ? t("of", { whole: watts(limit) }) : "", share(drawn, limit));
  }

  /** @param {API.Overview} overview */
  function showOverview({ system, trainings: by, uptime }) {
    const active = by.starting + by.running + by.stopping;
    trainings.say(count(active), t("sum.queued", { n: count(by.queued) }), null);
    host.say(
      percent(system.cpu_percent),
      t("sum.ram", { used: gigabytes(system.memory.used), total: gigabytes(system.memory.total) }),
      system.cpu_percent,
    );
    host.element.title = `${system.hostname} · ${system.os} · ${t("sum.up", { time: duration(uptime) })}`;
    const last = system.disks.at(-1);
    if (last)
      disk.say(
        `${gigabytes(last.free)} GB`,
        t("sum.free", { path: last.path }),
        last.percent,
        fullness(last.percent ?? 0),
      );
  }

  async function askOverview() {
    fetchedAt = performance.now();
    try {
      showOverview(await api.overview());
    } catch {
      // The connection's own indicator reports this.
    }
  }

  return {
    element,
    /** @param {API.Snapshot} snapshot */
    update(snapshot) {
      showGPUs(snapshot);
      if (performance.now() - fetchedAt > OVERVIEW_SECONDS * 1000) askOverview();
    },
    refresh: askOverview,
  };
}

/** @param {number} percent of a disk */
const fullness = (percent) => (percent > 95 ? "bad" : percent > 85 ? "warn" : null);

/** @param {number|null} value */
const watts = (value) =>
  !isKnown(value) ? UNKNOWN : value >= 10_000 ? `${(value / 1000).toFixed(1)} kW` : `${count(value)} W`;
