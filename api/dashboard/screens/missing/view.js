// The screen of an unknown address.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";

/** @returns {import("../../app/main.js").Screen} */
export function open() {
  return {
    element: h(
      "div.screen",
      h(
        "div.panel.empty",
        icon("question"),
        h("h1", t("page.missing")),
        h("p.foreign", t("page.missing.text", { address: location.hash })),
        h("a.button.primary", { href: "#/" }, icon("home"), t("page.missing.home")),
      ),
    ),
    title: () => t("page.missing"),
    topics: "gpu,system",
    on: {},
    refetch: async () => {},
    close() {
      // Nothing to release.
    },
  };
}
