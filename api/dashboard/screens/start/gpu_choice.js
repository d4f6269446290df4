// The choice of GPUs: any number of free ones, or specific ones.

import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { fill, h } from "../../ui/dom.js";
import { gpuPicks, mostInOne } from "../../ui/gpu_picks.js";
import { numberInput } from "./fields.js";
import { findingItem } from "./findings.js";

export function gpuChoice() {
  const any = h("input", { type: "radio", name: "gpus", value: "any", checked: true, id: "gpus-any" });
  const these = h("input", { type: "radio", name: "gpus", value: "these", id: "gpus-these" });
  const count = numberInput({ min: 1, max: 64, step: 1, value: 1, "aria-label": t("gpu.count") });
  const picks = gpuPicks();
  const wrong = h("ul", { class: "findings" });
  const element = h(
    "fieldset",
    { class: "gpu-choice" },
    h("legend", { class: "label" }, t("gpus")),
    h("div", { class: "choice-line" }, h("label", { class: "check" }, any, t("gpus.any")), count),
    h("label", { class: "check" }, these, t("gpus.these")),
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
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const own = findings.filter(({ pointer }) => /^\/(gpu_ids?|gpu_count)(\/|$)/.test(pointer));
      fill(
        wrong,
        own.map((finding) => findingItem(finding, "", null)),
      );
      return own;
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
