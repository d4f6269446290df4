// The downloads of base models, running and past.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { panel } from "../../ui/panel.js";
import { sections } from "../../ui/sections.js";
import { otherDownloads } from "./download_other.js";
import { downloadList, watchDownloads } from "./downloads.js";

/** @returns {import("../../app/main.js").Screen} */
export function open() {
  const downloads = watchDownloads(() => {});
  const rows = downloadList(downloads);
  const none = h("p.none.faint", t("downloads.none"));
  const forget = downloads.shown.watch((found) => {
    none.hidden = found.length > 0;
  });
  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.models")), sections("models", "#/models/downloads")),
      panel("downloads", t("downloads"), h("div.tools", otherDownloads(downloads.refetch)), rows.element, none),
    ),
    title: () => t("downloads"),
    topics: "gpu,task,system",
    on: { status: downloads.refetchSoon },
    refetch: downloads.refetch,
    close() {
      forget();
      rows.close();
      downloads.close();
    },
  };
}
