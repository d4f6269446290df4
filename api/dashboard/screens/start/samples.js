// The folded section of automatic samples.

import { t } from "../../app/i18n.js";
import { fill, h, setText } from "../../ui/dom.js";
import { saidOf, samplesChoice } from "../sampling/choice.js";
import { findingItem, placeFindings } from "./findings.js";

/** @param {() => string} modelTypeOf @param {() => void} changed */
export function samplesSection(modelTypeOf, changed) {
  const [said, list] = [h("span.faint.small"), h("ul.findings")];
  const choice = samplesChoice(modelTypeOf, changed);
  const tell = () => {
    const { value } = choice;
    setText(said, value ? saidOf(value.sample_set, value.every ?? 1) : t("auto.off"));
  };
  return {
    element: h("div.stack", choice.element, list),
    said,
    tell,
    toRequest: () => choice.value ?? undefined,
    /** @param {API.Request} initial */
    choose(initial) {
      choice.choose(/** @type {import("../sampling/choice.js").Automatic|null} */ (initial.samples ?? null));
      tell();
    },
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const own = findings.filter(({ pointer }) => pointer.startsWith("/samples"));
      fill(
        list,
        own.map((finding) => findingItem(finding, "", null)),
      );
      return placeFindings(own, choice.element);
    },
  };
}
