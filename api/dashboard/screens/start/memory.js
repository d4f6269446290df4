// What is known of the memory that a training needs.

import { t } from "../../app/i18n.js";
import { gigabytes, isKnown } from "../../ui/format.js";

/** What trainings used here, in words; null where none can be compared. @param {API.PlannedMemory|null} memory */
export function measuredWords(memory) {
  if (!memory || memory.origin === "estimated" || memory.origin === "unknown") return null;
  const figures = { measured: memory.most_mb, at_most: memory.at_most_mb, at_least: memory.at_least_mb };
  const mb = figures[memory.origin];
  const key = /** @type {const} */ (`plan.memory.${memory.origin}`);
  const values = { gb: isKnown(mb) ? gigabytes(mb) : "?", n: memory.runs };
  return t(memory.runs === 1 ? /** @type {const} */ (`${key}.one`) : key, values);
}
