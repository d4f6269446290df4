// A GPU as a cell, for fleets: its colour is its status, its figure its use. Its page has the rest.

import { tell, word } from "../../app/i18n.js";
import { gpuAddress } from "../../app/router.js";
import { h, setAttribute, setText } from "../../ui/dom.js";
import { count, isKnown, UNKNOWN } from "../../ui/format.js";
import { gpuName, gpuReference } from "../../ui/gpus.js";
import { toneOf } from "../../ui/status.js";

/** @param {API.GPU} first as it is now */
export function gpuCell(first) {
  const use = h("span", { "aria-hidden": "true" });
  const element = h("a", { class: "fleet-cell", href: gpuAddress(gpuReference(first)) }, use);
  return {
    element,
    /** @param {API.GPU} gpu */
    update(gpu) {
      const isBusy = gpu.status !== "available" && isKnown(gpu.utilization_gpu) && !gpu.stale;
      setText(use, isBusy ? count(gpu.utilization_gpu) : gpu.status === "available" ? "" : UNKNOWN);
      setAttribute(element, "data-tone", toneOf("gpu", gpu.status));
      const why = gpu.current_task?.task_id ?? tell(gpu.status_reason ?? "", gpu.status_reason_code);
      const said = `${gpuName(gpuReference(gpu))}: ${word("gpu", gpu.status)}${why ? ` · ${why}` : ""}`;
      setAttribute(element, "title", said);
      setAttribute(element, "aria-label", said);
    },
    close() {
      // It holds nothing.
    },
  };
}
