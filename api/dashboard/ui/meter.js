// A bar from 0 to 100.

import { h, setAttribute } from "./dom.js";
import { isKnown } from "./format.js";

/** @param {string} label label for screen readers */
export function meter(label) {
  const fill = h("i");
  const element = h(
    "span.meter",
    { role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 },
    fill,
  );
  return {
    element,
    /** @param {number|null|undefined} value @param {string|null} [level] warn, bad, ok or idle */
    update(value, level) {
      const known = isKnown(value);
      const percent = known ? Math.min(100, Math.max(0, value)) : 0;
      element.classList.toggle("unknown", !known);
      // ARIA requires a number; the text beside it shows that it is unknown.
      setAttribute(element, "aria-valuenow", Math.round(percent));
      setAttribute(element, "aria-valuetext", known ? `${Math.round(percent)} %` : "–");
      setAttribute(element, "data-level", level);
      fill.style.transform = `scaleX(${percent / 100})`;
    },
  };
}
