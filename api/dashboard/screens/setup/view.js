// The setup screen: the checklist, and every setting that can be changed without a restart.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { sections } from "../../ui/sections.js";
import { allSettings } from "./all_settings.js";
import { checklist } from "./checklist.js";

/** @returns {import("../../app/main.js").Screen} */
export function open() {
  const steps = checklist({ changed: () => settings.refetch() });
  const settings = allSettings(() => steps.refetch());
  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.settings")), sections("settings", "#/settings/setup")),
      steps.element,
      settings.element,
    ),
    title: () => t("setup"),
    topics: "gpu,system",
    on: {},
    async refetch() {
      await Promise.all([steps.refetch(), settings.refetch()]);
    },
    close: steps.close,
  };
}
