// What decides when a task starts: its class, its priority, and the earliest time.

import { t } from "../app/i18n.js";
import { weekdayTime } from "./format.js";

/** The classes for a select. @type {[value: API.Row["priority_class"], label: string][]} */
export const CLASSES = [
  ["urgent", t("class.urgent")],
  ["normal", t("class.normal")],
  ["background", t("class.background")],
];

/** The parts that differ from the default. @param {API.Row} task @returns {string[]} */
export function orderTexts({ priority_class: group, priority, not_before: at, status }) {
  return [
    group === "normal" ? "" : t(group === "urgent" ? "class.urgent" : "class.background"),
    priority ? t("priority.n", { n: priority }) : "",
    at && status === "queued" && Date.parse(at) > Date.now() ? t("not_before.n", { at: weekdayTime(at) }) : "",
  ].filter(Boolean);
}

/** The value of a field for a local time. @param {string|null|undefined} iso */
export function localInput(iso) {
  if (!iso) return "";
  const date = new Date(iso);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The time with its zone, or null if the field is empty. @param {string} local */
export const isoTime = (local) => (local ? new Date(local).toISOString() : null);
