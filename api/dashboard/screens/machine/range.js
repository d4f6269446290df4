// The time range of lines and charts, shared by all screens and stored.

import { t } from "../../app/i18n.js";
import { recall, remember } from "../../app/settings.js";
import { segments } from "../../ui/segments.js";
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
