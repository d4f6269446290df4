// Severity as a colour, a shape and a text.

import { labelFor } from "../../app/i18n.js";
import { h, setAttribute, setText } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";

/** @typedef {import("../../ui/icons.js").IconName} IconName */

/** @type {Record<string, [tone: string, sign: IconName]>} */
const LOOKS = { critical: ["bad", "cross"], warning: ["warn", "warn"], info: ["run", "info"] };
/** @type {Record<string, [tone: string, sign: IconName]>} */
const STATES = {
  firing: ["bad", "bell"],
  pending: ["idle", "clock"],
  acknowledged: ["run", "eye"],
  silenced: ["idle", "mute"],
  resolved: ["ok", "check"],
};

/** @param {string} severity */
export const toneOfSeverity = (severity) => (LOOKS[severity] ?? ["idle"])[0];

/** @param {string} group of its text @param {Record<string, [string, IconName]>} looks @param {string} value @param {string} text */
function chip(group, looks, value, text) {
  const [tone, sign] = looks[value] ?? ["idle", "question"];
  return h("span.status.chip", { data: { tone, [group]: value } }, icon(sign), text);
}

/** @param {string} severity */
export const severityChip = (severity) => chip("severity", LOOKS, severity, labelFor("severity", severity));

/** @param {string} state */
export const alertStateChip = (state) => chip("state", STATES, state, labelFor("alert", state));

/** A count with the shape of the highest severity, for the bell. */
export function countChip() {
  const text = h("b");
  let sign = icon("info");
  let shown = "";
  const element = h("span.status.chip.bell-count", { "aria-hidden": "true" }, sign, text);
  return {
    element,
    /** @param {string} severity @param {string} count */
    update(severity, count) {
      setText(text, count);
      if (severity === shown) return;
      shown = severity;
      const [tone, name] = LOOKS[severity] ?? ["idle", "question"];
      setAttribute(element, "data-tone", tone);
      const next = icon(name);
      sign.replaceWith(next);
      sign = next;
    },
  };
}
