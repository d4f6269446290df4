// How far back lines and charts go: one choice for all screens, remembered.

import { segments } from "../../components/segments.js";
import { t } from "../../i18n.js";
import { recall, remember } from "../../settings.js";
import { RANGES } from "./history.js";

/** @param {() => void} changed */
export function rangeChoice(changed) {
  const names = /** @type {import("./history.js").Range[]} */ (Object.keys(RANGES));
  let value = names.find((name) => name === recall("range", "")) ?? "5m";
  const choices = names.map((name) => ({ value: name, label: t(`range.${name}`) }));
  const { element } = segments(t("range"), choices, value, (chosen) => {
    value = chosen;
    remember("range", chosen);
    changed();
  });
  return {
    element,
    get value() {
      return value;
    },
  };
}
