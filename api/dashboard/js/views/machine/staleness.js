// A reading that is old is greyed, and says how old it is.

import { h, setText } from "../../dom.js";
import { duration } from "../../format.js";
import { t } from "../../i18n.js";
import { ageOf } from "../../machine.js";

export function staleness() {
  const element = h("span", { class: "age warn tiny", hidden: true });
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
