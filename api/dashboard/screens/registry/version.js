// One version of a saved model: file details, origin, and actions.

import { whyNot } from "../../app/access.js";
import { models, versionURL } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { datasetAddress, taskAddress } from "../../app/router.js";
import { guarded } from "../../ui/buttons.js";
import { h } from "../../ui/dom.js";
import { bytes, count, figure, isKnown } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { menuButton } from "../../ui/menu.js";
import { time } from "../../ui/time.js";
import { toast } from "../../ui/toast.js";
import { metadataList } from "../models/examine.js";
import { changeVersion, deleteVersion, writeMetadata } from "./dialogs.js";
import { pushVersion } from "./push_start.js";
import { aliasChips, formatOf, formatText, originOf } from "./version_text.js";

/** The alias for the production version. */
const PROD = "prod";

/**
 * @param {API.ModelVersion} version @param {string|null} owner of the model
 * @param {boolean} isNewest @param {() => unknown} changed
 * @param {Node} gallery of its samples @param {() => unknown} pushed called when a push has started
 */
export function versionCard(version, owner, isNewest, changed, gallery, pushed) {
  const denied = whyNot("models:write", owner);
  const isProd = version.aliases.includes(PROD);
  const toggle = guarded(denied, async () => {
    const others = version.aliases.filter((alias) => alias !== PROD);
    await models.changeVersion(version.model, version.version, { aliases: isProd ? others : [...others, PROD] });
    toast("ok", t(isProd ? "prod.taken" : "prod.given", { n: version.version }));
    changed();
  });
  const menu = menuButton(t("actions.of", { name: `${version.model} v${version.version}` }), () => [
    { label: t("version.change"), icon: "pen", denied, run: guarded(denied, () => changeVersion(version, changed)) },
    { label: t("metadata.ask"), icon: "tag", denied, run: guarded(denied, () => writeMetadata(version, changed)) },
    { label: t("push.ask"), icon: "send", denied, run: guarded(denied, () => pushVersion(version, pushed)) },
    {
      label: t("data.delete"),
      icon: "trash",
      danger: true,
      denied,
      run: guarded(denied, async () => (await deleteVersion(version)) && changed()),
    },
  ]);
  return h(
    "li",
    { class: `panel version-card${isProd ? " prod" : ""}`, data: { version: String(version.version) } },
    h(
      "header",
      h("h2", `v${version.version}`),
      isNewest && h("span.tag", t("version.is_newest")),
      aliasChips(version.aliases),
      h(
        "div.tools",
        h(
          "a.button.primary",
          { href: versionURL(version.model, version.version), download: version.file_name },
          icon("down"),
          t("version.download", { size: bytes(version.size_bytes) }),
        ),
        h(
          "button.button",
          {
            type: "button",
            "aria-pressed": String(isProd),
            "aria-disabled": denied ? "true" : null,
            title: denied,
            on: { click: toggle },
          },
          icon("star"),
          t(isProd ? "prod.take" : "prod.give"),
        ),
        menu,
      ),
    ),
    h(
      "div.body.version-body",
      version.notes && h("p.version-notes.foreign", version.notes),
      version.tags.length > 0 &&
        h(
          "div.tag-row",
          version.tags.map((tag) => h("span.tag.foreign", tag)),
        ),
      gallery,
      h("div.version-facts", fileFacts(version), originFacts(version)),
    ),
  );
}

/** @param {string} label @param {Child} value @returns {Child} */
const fact = (label, value) =>
  value !== null &&
  value !== undefined &&
  value !== "" &&
  !(Array.isArray(value) && !value.length) && [h("dt", label), h("dd.foreign", value)];

/** The details in the file's header. @param {API.ModelVersion} version */
function fileFacts(version) {
  const format = formatOf(version);
  const metadata = format.metadata ?? {};
  return h(
    "section.stack",
    { "aria-label": t("version.file") },
    h("h3", t("version.file")),
    h(
      "dl.facts",
      fact(t("kind"), formatText(version)),
      fact(t("fact.dtype"), [format.dtype, format.quantisation].filter(Boolean).join(", ")),
      fact(t("fact.parameters"), isKnown(format.parameters) ? count(format.parameters) : null),
      fact(t("fact.keys"), format.keys),
      fact(t("fact.readers"), (format.readers ?? []).join(", ")),
      fact(t("fact.file"), h("span.mono", version.file_name)),
      fact("SHA-256", h("code.tiny", { title: version.sha256 }, `${version.sha256.slice(0, 16)}…`)),
      version.path === null && fact(t("status"), h("span.bad", t("version.lost"))),
    ),
    Object.keys(metadata).length > 0 &&
      h("details", h("summary.small.soft", t("fact.metadata")), metadataList(metadata)),
  );
}

/** The origin of a version. @param {API.ModelVersion} version */
function originFacts(version) {
  const origin = originOf(version);
  const task = typeof origin.task_id === "string" ? origin.task_id : null;
  const number = (/** @type {unknown} */ value) => (typeof value === "number" ? figure(value) : null);
  const request = origin.request && typeof origin.request === "object" ? origin.request : null;
  return h(
    "section.stack",
    { "aria-label": t("version.origin") },
    h("h3", t("version.origin")),
    h(
      "dl.facts",
      fact(t("task"), task && h("a", { href: taskAddress(task) }, origin.task_name || task)),
      fact(t("fact.file"), typeof origin.file === "string" ? h("span.mono", origin.file) : null),
      fact(t("model"), typeof origin.model_type === "string" ? origin.model_type : null),
      fact(t("stat.epoch"), isKnown(origin.epoch) ? count(origin.epoch) : null),
      fact(t("step"), isKnown(origin.step) ? count(origin.step) : null),
      fact(t("loss"), number(origin.loss)),
      fact(t("origin.eval_loss"), number(origin.eval_loss)),
      fact(t("nav.data"), datasetsIn(request).map(datasetLink)),
      fact(t("origin.metadata_of"), isKnown(origin.metadata_of) ? `v${origin.metadata_of}` : null),
      fact(t("origin.created"), [time(version.created_at), " ", h("span.faint", version.actor)]),
    ),
    request &&
      h("details", h("summary.small.soft", t("origin.request")), h("pre.file", JSON.stringify(request, null, 2))),
  );
}

/** The named datasets of a request. @param {unknown} value @returns {string[]} */
function datasetsIn(value) {
  const { dataset } = /** @type {{dataset?: {directories?: {dataset?: unknown}[]}|null}} */ (value ?? {});
  const directories = dataset?.directories;
  if (!Array.isArray(directories)) return [];
  return directories.map(({ dataset }) => dataset).filter((each) => typeof each === "string");
}

/** @param {string} reference */
const datasetLink = (reference) => [
  h("a", { href: datasetAddress(reference.replace(/@.*$/, "")), title: reference }, shortReference(reference)),
  " ",
];

/** Shortens a hash to its first characters. @param {string} reference */
const shortReference = (reference) => reference.replace(/(@sha256:[0-9a-f]{12})[0-9a-f]+$/, "$1…");
