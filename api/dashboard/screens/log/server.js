// The server's own log.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { sections } from "../../ui/sections.js";
import { logPanel } from "./panel.js";

/** @returns {import("../../app/main.js").Screen} */
export function open() {
  const log = logPanel(null);
  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.settings")), sections("settings", "#/settings/log")),
      log.element,
    ),
    title: () => t("log.server"),
    path: () => `/system/logs/stream?offset=${log.next}`,
    on: {
      log: (message) => log.add(message),
      partial: ({ line }) => log.setPartial(line),
      dropped: () => log.refetch().catch(() => {}),
    },
    refetch: log.refetch,
    keys: { f: log.follow, e: () => void log.toError(1), E: () => void log.toError(-1) },
    close: log.close,
  };
}
