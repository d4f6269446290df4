// Why a GPU is in its status, what is wrong with it, and what to do.

import { t, tell, word } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { fill, h } from "../../ui/dom.js";
import { prose } from "../../ui/prose.js";
import { note } from "../../ui/status.js";

const TONES = /** @type {const} */ ({ healthy: "idle", unknown: "idle", degraded: "warn", unhealthy: "bad" });
/** Statuses of a GPU whose task says by itself who holds it. */
const HELD = ["training", "preprocessing", "busy"];

/** @param {boolean} isAlone whether nothing else on the screen tells of a driver that fails as a whole */
export function condition(isAlone) {
  const element = h("div", { class: "condition" });
  let drawn = "";
  return {
    element,
    /** @param {API.GPU} gpu @param {API.GPUHealth|null} health of its details, or null while they are not known */
    update(gpu, health) {
      const reason = reasonOf(gpu, isAlone);
      const found = !health || health.verdict === "healthy" ? null : health;
      const key = JSON.stringify([reason, found]);
      if (key === drawn) return;
      drawn = key;
      if (!found) return void fill(element, reason && h("p", { class: "small soft foreign" }, prose(reason)));
      if (found.verdict === "unknown") return void fill(element, reason && unknownNote(reason, found));
      const isTold = !reason || reasonsOf(found).some((each) => reason.includes(each));
      fill(element, !isTold && h("p", { class: "small soft foreign" }, prose(reason)), healthNote(found));
    },
  };
}

/** @param {API.GPU} gpu @param {boolean} isAlone */
function reasonOf(gpu, isAlone) {
  if (gpu.current_task && HELD.includes(gpu.status)) return "";
  const reason = gpu.status_reason ?? "";
  if (!isAlone && reason === machine.value?.source_problem) return "";
  return tell(reason, gpu.status_reason_code);
}

/** @param {API.GPUHealth} health */
const reasonsOf = (health) => health.reasons.map((reason, i) => tell(reason, health.reason_codes[i]));

/** It cannot be read: the status says why, and by the second for how long. @param {string} reason @param {API.GPUHealth} health */
const unknownNote = (reason, health) => note("warn", h("p", {}, prose(reason)), actions(health));

/** @param {API.GPUHealth} health */
const healthNote = (health) =>
  note(
    TONES[health.verdict],
    h("strong", {}, word("health", health.verdict)),
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
      health.suggested_actions.map((action, i) => h("li", {}, prose(tell(action, health.action_codes[i])))),
    ),
  ];
