// The versions of a dataset, which can be viewed and restored.

import { data, newKey } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { h } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { pagedTable } from "../../ui/paged_table.js";
import { panel } from "../../ui/panel.js";
import { headings } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { toast } from "../../ui/toast.js";

/**
 * Restores an earlier version as the newest, and reports it.
 * @param {string} name @param {number} version @returns {Promise<API.DatasetVersion>}
 */
export async function goBack(name, version) {
  const made = await data.restore(name, version, newKey());
  toast("ok", t("version.restored", { n: count(version) }));
  return made;
}

/**
 * @param {string} name
 * @param {{shown: () => number|null, latest: () => number|null, showVersion: (version: number) => void, denied: () => string|null, restored: () => unknown}} options
 */
export function versionsPanel(name, options) {
  const list = pagedTable({
    className: "versions-table",
    heads: headings("version", "version.source", "items", "size", "time", "actions"),
    row,
    none: () => h("p.body.faint", t("data.empty")),
    async ask({ limit, offset }) {
      const { versions, pagination } = await data.versions(name, { limit, offset });
      return { rows: versions, pagination };
    },
  });

  /** @param {API.DatasetVersion} version */
  function row({ version, created_at: made, actor, message, items, size_bytes: size, manifest }) {
    const isShown = version === options.shown();
    const denied = version === options.latest() ? t("version.newest") : options.denied();
    const back = async () => {
      await goBack(name, version);
      options.restored();
    };
    const button = actionButton("small", denied, back, icon("history"), t("version.restore"));
    return h(
      "tr",
      { data: { version: String(version) } },
      h("td.num", h("strong", count(version)), h("div.faint.tiny.mono", { title: manifest }, manifest.slice(7, 15))),
      h("td.foreign", message),
      h("td.num", count(items)),
      h("td.num", bytes(size)),
      h("td", time(made), h("div.faint.tiny.foreign", actor)),
      h(
        "td",
        h(
          "div.choices",
          h(
            "button.button.small",
            { "aria-pressed": String(isShown), on: { click: () => options.showVersion(version) } },
            t("version.look"),
          ),
          button,
        ),
      ),
    );
  }

  const element = panel("", t("versions"), h("p.tools.faint.small", t("versions.text")), list.body, list.foot);
  return { element, refetch: list.refetch };
}
