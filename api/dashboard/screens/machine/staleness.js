// Greys out stale readings and shows their age.

import { t } from "../../app/i18n.js";
import { ageOf } from "../../app/machine.js";
import { h, setText } from "../../ui/dom.js";
import { duration } from "../../ui/format.js";

export function staleness() {
  const element = h("span.age.warn.tiny", { hidden: true });
  return {
    element,
    /** @param {API.GPU} gpu @returns whether it is stale */
    update(gpu) {
      element.hidden = !gpu.stale;
      if (gpu.stale) setText(element, t("stale.age", { age: duration(ageOf(gpu.read_at)) }));
      return gpu.stale;
    },
  };
}
