// The tabs of the models screens.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";

/** @param {"models"|"registry"} here */
export const sections = (here) =>
  h(
    "nav",
    { class: "segments", "aria-label": t("models.sections") },
    /** @type {const} */ (["models", "registry"]).map((each) =>
      h("a", { href: `#/${each}`, "aria-current": each === here ? "page" : null }, t(`models.${each}`)),
    ),
  );
