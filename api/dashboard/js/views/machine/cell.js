// A GPU as a cell, for fleets: its colour is its status, its figure its use. Its page has the rest.

import { gpuName, gpuReference } from "../../components/gpus.js";
import { toneOf } from "../../components/status.js";
import { h, setAttribute, setText } from "../../dom.js";
import { count, isKnown, UNKNOWN } from "../../format.js";
import { tell, word } from "../../i18n.js";
import { gpuAddress } from "../../router.js";

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
