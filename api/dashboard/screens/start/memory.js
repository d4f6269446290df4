// Measured memory use.

import { t } from "../../app/i18n.js";
import { gigabytes, isKnown } from "../../ui/format.js";

/** The memory that trainings used here, as text; null if none is comparable. @param {API.PlannedMemory|null} memory */
export function measuredText(memory) {
  if (!memory || memory.origin === "estimated" || memory.origin === "unknown") return null;
  const figures = { measured: memory.most_mb, at_most: memory.at_most_mb, at_least: memory.at_least_mb };
  const mb = figures[memory.origin];
  const key = /** @type {const} */ (`plan.memory.${memory.origin}`);
  const values = { gb: isKnown(mb) ? gigabytes(mb) : "?", n: memory.runs };
  return t(memory.runs === 1 ? /** @type {const} */ (`${key}.one`) : key, values);
}
