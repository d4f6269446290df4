// A GPU as a tile, for machines with many: one line, one bar, three numbers.

import { t, translate } from "../../app/i18n.js";
import { now } from "../../app/machine.js";
import { gpuAddress } from "../../app/router.js";
import { h, setAttribute, setText } from "../../ui/dom.js";
import { gigabytes, isKnown, percent, UNKNOWN, unit, weekdayTime } from "../../ui/format.js";
import { gpuName, gpuReference } from "../../ui/gpus.js";
import { meter } from "../../ui/meter.js";
import { Sparkline } from "../../ui/sparkline.js";
import { shownStatus, statusChip, toneOf } from "../../ui/status.js";
import { claimText } from "./claims.js";
import { History, historyName } from "./history.js";
import { nameOf } from "./occupant.js";
import { staleness } from "./staleness.js";

const METRIC = "utilization_gpu";

/** @param {API.GPU} first its current state @param {import("./history.js").Range} range of the line */
export function gpuTile(first, range) {
  const history = new History(historyName(first), range, [METRIC]);
  const line = new Sparkline("--fill");
  const [chip, age] = [statusChip("gpu"), staleness()];
  const memory = meter(t("gpu.memory"));
  const [number, use, heat, power, held, task] = ["number", "use", "heat", "power", "held", "task clip foreign"].map(
    (name) => h("span", { class: name }),
  );
  const name = gpuName(first.gpu_id);
  number.ariaHidden = "true";
  const element = h(
    "a.gpu-tile.panel",
    { href: gpuAddress(gpuReference(first)) },
    h("span.tile-head", h("span.visually-hidden", name), number, chip.element),
    h("span.tile-main", use, h("span.spark", line.element)),
    memory.element,
    h("span.tile-foot", held, heat, power),
    h("span.tile-task", task, age.element),
  );
  let gpu = first;
  let isLoaded = false;

  const redraw = () => line.update(history.get(METRIC), now() - history.seconds, now());

  /** @returns {string} */
  function showTask() {
    if (gpu.paused_until) return t("gpu.paused_until", { until: weekdayTime(gpu.paused_until) });
    if (gpu.claims.length > 0) return gpu.claims.map(claimText).join(", ");
    if (!gpu.current_task) return translate(gpu.status_reason ?? "", gpu.status_reason_code);
    return nameOf(gpu.current_task.task_id, () => setText(task, showTask()))?.name || gpu.current_task.task_id;
  }

  // Fetch data when the tile becomes visible.
  const observer = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting || isLoaded) return;
    isLoaded = true;
    observer.disconnect();
    history.load(redraw);
  });
  observer.observe(element);

  return {
    element,
    /** @param {API.GPU} reading */
    update(reading) {
      gpu = reading;
      history.add(gpu);
      setText(number, gpu.gpu_id ?? UNKNOWN);
      chip.update(shownStatus(gpu));
      setText(use, percent(gpu.utilization_gpu));
      setText(held, isKnown(gpu.memory.used) ? `${gigabytes(gpu.memory.used)} GB` : UNKNOWN);
      setText(heat, unit(gpu.temperature.gpu, "°C"));
      setText(power, unit(gpu.power_usage, "W"));
      setText(task, showTask());
      memory.update(gpu.memory.utilization);
      setAttribute(element, "data-tone", toneOf("gpu", shownStatus(gpu)));
      element.classList.toggle("stale", age.update(gpu));
      redraw();
    },
    close() {
      observer.disconnect();
      history.close();
      line.close();
    },
  };
}
