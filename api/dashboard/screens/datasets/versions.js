// The versions of a dataset, which can be viewed and restored.

import { data, newKey } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { pagerOf } from "../../ui/pager.js";
import { stackedTable } from "../../ui/states.js";
import { time } from "../../ui/time.js";
import { attempt, toast } from "../../ui/toast.js";

const ROWS = 25;

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
  const [body, foot] = [h("div"), h("div", { class: "pager" })];
  let offset = 0;
  let requests = 0;

  async function refetch() {
    const mine = ++requests;
    const { versions, pagination } = await data.versions(name, { limit: ROWS, offset });
    if (mine !== requests) return;
    fill(
      body,
      versions.length
        ? stackedTable(HEADS(), versions.map(row), "versions-table")
        : h("p", { class: "body faint" }, t("data.empty")),
    );
    const goTo = (/** @type {number} */ to) => {
      offset = to;
      attempt(refetch);
    };
    fill(foot, pagerOf({ offset, limit: ROWS }, versions.length, pagination, goTo));
  }

  /** @param {API.DatasetVersion} version */
  function row({ version, created_at: made, actor, message, items, size_bytes: size, manifest }) {
    const isShown = version === options.shown();
    const denied = version === options.latest() ? t("version.newest") : options.denied();
    const back = async () => {
      if (denied) return toast("bad", denied);
      await goBack(name, version);
      options.restored();
    };
    const button = h(
      "button",
      { class: "button small", title: denied, on: { click: () => void attempt(back) } },
      icon("history"),
      t("version.restore"),
    );
    setAttribute(button, "aria-disabled", denied ? "true" : null);
    return h(
      "tr",
      { data: { version: String(version) } },
      h(
        "td",
        { class: "num" },
        h("strong", {}, count(version)),
        h("div", { class: "faint tiny mono", title: manifest }, manifest.slice(7, 15)),
      ),
      h("td", { class: "foreign" }, message),
      h("td", { class: "num" }, count(items)),
      h("td", { class: "num" }, bytes(size)),
      h("td", {}, time(made), h("div", { class: "faint tiny foreign" }, actor)),
      h(
        "td",
        {},
        h(
          "div",
          { class: "choices" },
          h(
            "button",
            {
              class: "button small",
              "aria-pressed": String(isShown),
              on: { click: () => options.showVersion(version) },
            },
            t("version.look"),
          ),
          button,
        ),
      ),
    );
  }

  const element = h(
    "section",
    { class: "panel", "aria-label": t("versions") },
    h("header", {}, h("h2", {}, t("versions")), h("p", { class: "tools faint small" }, t("versions.text"))),
    body,
    foot,
  );
  return { element, refetch };
}

const HEADS = () => [
  { label: t("version"), isNumber: true },
  { label: t("version.source") },
  { label: t("items"), isNumber: true },
  { label: t("size"), isNumber: true },
  { label: t("time") },
  { label: t("actions") },
];
