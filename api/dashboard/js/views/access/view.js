// Who may do what: oneself; and for who manages them keys, people and the audit.

import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { ownPanel } from "./own.js";

/** @returns {import("../../main.js").Screen} */
export function open() {
  const own = ownPanel();
  return {
    element: h(
      "div",
      { class: "screen" },
      h("div", { class: "screen-head" }, h("h1", {}, t("nav.access"))),
      own.element,
    ),
    title: () => t("nav.access"),
    topics: "gpu,system",
    on: {},
    refetch: async () => {},
    close: own.close,
  };
}
