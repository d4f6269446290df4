// Help: the keyboard shortcuts and the service's documents.

import { t } from "../../app/i18n.js";
import { apiLink, keyList } from "../../app/shell/help.js";
import { h } from "../../ui/dom.js";
import { panel } from "../../ui/panel.js";
import { sections } from "../../ui/sections.js";

/** @returns {import("../../app/main.js").Screen} */
export function open() {
  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.settings")), sections("settings", "#/settings/help")),
      panel("", t("settings.help"), null, h("div.body.stack", apiLink())),
      panel("", t("keys"), null, h("div.body", keyList())),
    ),
    title: () => t("settings.help"),
    topics: "gpu,system",
    on: {},
    refetch: async () => {},
    close() {
      // Nothing to release.
    },
  };
}
