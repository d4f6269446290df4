// The claims of other programs on a GPU, each with a button that releases it.

import { whyNot } from "../../app/access.js";
import { schedules } from "../../app/api_schedule.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { gigabytes, isKnown, weekdayTime } from "../../ui/format.js";
import { gpuReference } from "../../ui/gpus.js";
import { attempt } from "../../ui/toast.js";

/** What a claim says. @param {API.GPUClaim} claim */
export const claimText = ({ name, expires_at: until }) => t("gpu.claim", { name, until: weekdayTime(until) });

export function claimList() {
  const element = h("ul.claims", { hidden: true });
  let drawn = "";

  /** @param {string|number|null} id @param {API.GPUClaim} claim */
  function row(id, claim) {
    const why = whyNot("training:write");
    const release = () => attempt(() => schedules.release(id, claim.name));
    return h(
      "li",
      h("span.foreign", claimText(claim)),
      isKnown(claim.memory_mb) && h("span.faint.nowrap", `${gigabytes(claim.memory_mb)} GB`),
      h(
        "button.button.small",
        { type: "button", disabled: why !== null, title: why ?? "", on: { click: release } },
        t("gpu.claim.release"),
      ),
    );
  }

  return {
    element,
    /** @param {API.GPU} gpu */
    update(gpu) {
      const key = JSON.stringify(gpu.claims);
      if (key === drawn) return;
      drawn = key;
      element.hidden = gpu.claims.length === 0;
      fill(
        element,
        gpu.claims.map((claim) => row(gpuReference(gpu), claim)),
      );
    },
  };
}
