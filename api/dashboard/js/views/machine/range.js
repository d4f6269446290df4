// How far back lines and charts go: one choice for all screens, remembered.

import { segments } from "../../components/segments.js";
import { t } from "../../i18n.js";
import { recall, remember } from "../../settings.js";
import { RANGES } from "./history.js";

/** @param {() => void} changed */
export function rangeChoice(changed) {
  const kept = recall("range", "5m");
  let value = kept in RANGES ? kept : "5m";
  const choices = Object.keys(RANGES).map((name) => ({ value: name, label: t(`range.${name}`) }));
  const { element } = segments(t("range"), choices, value, (chosen) => {
    value = chosen;
    remember("range", chosen);
    changed();
  });
  return {
    element,
    /** @returns {keyof RANGES} */
    get value() {
      return value;
    },
  };
}
