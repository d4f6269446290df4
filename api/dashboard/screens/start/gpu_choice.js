// The choice of GPUs: any number of free ones, or specific ones.

import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { fill, h } from "../../ui/dom.js";
import { numberInput } from "../../ui/fields.js";
import { gpuPicks, mostInOne } from "../../ui/gpu_picks.js";
import { findingItem, placeFindings } from "./findings.js";

export function gpuChoice() {
  const any = h("input", { type: "radio", name: "gpus", value: "any", checked: true, id: "gpus-any" });
  const these = h("input", { type: "radio", name: "gpus", value: "these", id: "gpus-these" });
  const count = numberInput({ min: 1, max: 64, step: 1, value: 1, "aria-label": t("gpu.count") });
  const picks = gpuPicks();
  const wrong = h("ul.findings");
  const element = h(
    "fieldset.gpu-choice",
    h("legend.label", t("gpus")),
    h("div.choice-line", h("label.check", any, t("gpus.any")), count),
    h("label.check", these, t("gpus.these")),
    picks.element,
    wrong,
  );
  const showList = () => {
    picks.element.hidden = !these.checked;
    count.disabled = these.checked;
  };
  element.addEventListener("change", showList);
  showList();

  const unwatch = machine.watch((snapshot) => {
    if (snapshot) count.max = String(mostInOne(snapshot) || 1);
  });
  return {
    element,
    close() {
      unwatch();
      picks.close();
    },
    only: picks.only,
    /** Says of an empty choice what to do; the service counts values. @param {SeverityFinding} finding */
    explain: (finding) =>
      finding.pointer === "/gpu_ids" && these.checked && !picks.named.length
        ? { ...finding, message: t("gpus.choose"), message_code: null, remedy: null }
        : finding,
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const own = findings.filter(({ pointer }) => /^\/(gpu_ids?|gpu_count)(\/|$)/.test(pointer));
      fill(
        wrong,
        own.map((finding) => findingItem(finding, "", null)),
      );
      return placeFindings(own, element);
    },
    /** The part of the request. */
    toRequest() {
      if (any.checked) return { gpu_count: count.valueAsNumber || 1 };
      return { gpu_ids: picks.named };
    },
    /** @param {API.Request} request */
    choose(request) {
      these.checked = Array.isArray(request.gpu_ids);
      any.checked = !these.checked;
      if (request.gpu_count) count.value = String(request.gpu_count);
      picks.choose(request.gpu_ids ?? []);
      showList();
    },
  };
}
