// Identifies a file on the server by its content.

import { models } from "../../app/api_models.js";
import { refusalText } from "../../app/error_text.js";
import { labelFor, t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { panel } from "../../ui/panel.js";
import { withBrowser } from "../../ui/path_input.js";
import { note } from "../../ui/status.js";
import { titled } from "./titles.js";

export function examinePanel() {
  const path = h("input.input.mono", {
    id: "examined-path",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 4096,
    placeholder: "/srv/models/file.safetensors",
  });
  const answer = h("div.stack", { "aria-live": "polite" });
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const file = path.value.trim();
    if (!file) return path.focus();
    try {
      fill(answer, verdict(await models.examine({ path: file })));
    } catch (error) {
      fill(answer, note("bad", h("p.foreign", refusalText(error))));
    }
  };
  return panel(
    "examine",
    t("examine"),
    null,
    h(
      "div.body.stack",
      h(
        "form.field",
        { on: { submit } },
        h("label", { for: "examined-path" }, t("examine.path")),
        h(
          "div.examine-line",
          withBrowser(path, "any"),
          h("button.button", { type: "submit" }, icon("search"), t("examine.do")),
        ),
        h("p.faint.tiny", t("examine.text")),
      ),
      answer,
    ),
  );
}

/** @param {API.Weights} found @returns {Child} */
function verdict(found) {
  const { adapter, metadata = {} } = found;
  const tone = found.is_whole === false || found.problem ? "bad" : found.title || adapter ? "ok" : "warn";
  const title = (found.title && titled(found.title)) ?? (adapter ? t("examine.adapter") : t("examine.unknown"));
  return [
    note(
      tone,
      h("strong", title),
      found.problem && h("p.foreign", t("component.problem", { problem: found.problem })),
      h("p", t(found.is_whole ? "complete.yes" : found.is_whole === false ? "complete.no" : "complete.unknown")),
    ),
    facts([
      ["fact.file", found.name],
      ["size", bytes(found.size_bytes)],
      ["fact.form", labelFor("form", found.form)],
      ["fact.dtype", found.dtype],
      ["fact.quantisation", found.quantisation && labelFor("quantisation", found.quantisation)],
      ["fact.parameters", found.parameters === null ? null : count(found.parameters)],
      ["fact.tensors", found.tensors === null ? null : count(found.tensors)],
      ["kind", adapter && [adapter.kind, adapter.rank && t("rank.n", { n: adapter.rank })].filter(Boolean).join(", ")],
      ["fact.base", adapter?.model_id],
      ["fact.readers", adapter?.readers.join(", ")],
      ["fact.missing", found.missing_files.join(", ")],
    ]),
    found.places.length > 0 &&
      h(
        "div.stack",
        h("h3", t("examine.used_for")),
        h(
          "ul.place-list",
          found.places.map(({ model_id: id, key }) =>
            h("li", h("a", { href: `#/models?type=${encodeURIComponent(id)}` }, id), h("code.soft", key)),
          ),
        ),
      ),
    Object.keys(metadata).length > 0 &&
      h("details", h("summary.small.soft", t("fact.metadata")), metadataList(metadata)),
  ];
}

/** A list of the known values. @param {[WordKey, string|null|undefined|false][]} rows */
export const facts = (rows) =>
  h(
    "dl.facts",
    rows.map(([key, value]) => value && [h("dt", t(key)), h("dd.foreign", value)]),
  );

/** @param {Record<string, string>} metadata */
export const metadataList = (metadata) =>
  h(
    "dl.facts.metadata",
    Object.entries(metadata).map(([name, value]) => [h("dt.mono.foreign", name), h("dd.mono.tiny.foreign", value)]),
  );
