// The status of a GPU with its reason, health problems, and remedies.

import { labelFor, t, translate } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { fill, h } from "../../ui/dom.js";
import { prose } from "../../ui/prose.js";
import { note } from "../../ui/status.js";

const TONES = /** @type {const} */ ({ healthy: "idle", unknown: "idle", degraded: "warn", unhealthy: "bad" });
/** Statuses whose task already names the holder. */
const HELD = ["training", "preprocessing", "busy"];

/** @param {boolean} isAlone whether nothing else on the screen reports a failing driver */
export function condition(isAlone) {
  const element = h("div", { class: "condition" });
  let drawn = "";
  return {
    element,
    /** @param {API.GPU} gpu @param {API.GPUHealth|null} health from its details, or null while unknown */
    update(gpu, health) {
      const reason = reasonOf(gpu, isAlone);
      const found = !health || health.verdict === "healthy" ? null : health;
      const key = JSON.stringify([reason, found]);
      if (key === drawn) return;
      drawn = key;
      if (!found) return void fill(element, reason && h("p", { class: "small soft foreign" }, prose(reason)));
      if (found.verdict === "unknown") return void fill(element, reason && unknownNote(reason, found));
      const isListed = !reason || reasonsOf(found).some((each) => reason.includes(each));
      fill(element, !isListed && h("p", { class: "small soft foreign" }, prose(reason)), healthNote(found));
    },
  };
}

/** @param {API.GPU} gpu @param {boolean} isAlone */
function reasonOf(gpu, isAlone) {
  if (gpu.current_task && HELD.includes(gpu.status)) return "";
  const reason = gpu.status_reason ?? "";
  if (!isAlone && reason === machine.value?.source_problem) return "";
  return translate(reason, gpu.status_reason_code);
}

/** @param {API.GPUHealth} health */
const reasonsOf = (health) => health.reasons.map((reason, i) => translate(reason, health.reason_codes[i]));

/**
 * The GPU cannot be read: the status has the cause and the duration.
 * @param {string} reason @param {API.GPUHealth} health
 */
const unknownNote = (reason, health) => note("warn", h("p", {}, prose(reason)), actions(health));

/** @param {API.GPUHealth} health */
const healthNote = (health) =>
  note(
    TONES[health.verdict],
    h("strong", {}, labelFor("health", health.verdict)),
    reasonsOf(health).map((reason) => h("p", {}, prose(reason))),
    actions(health),
  );

/** @param {API.GPUHealth} health @returns {Child} */
const actions = (health) =>
  health.suggested_actions.length > 0 && [
    h("p", { class: "what-to-do" }, t("remedy")),
    h(
      "ul",
      {},
      health.suggested_actions.map((action, i) => h("li", {}, prose(translate(action, health.action_codes[i])))),
    ),
  ];
