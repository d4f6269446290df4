// Starts the push of a version to a repository of a hub.

import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { askFields } from "../../ui/form_dialog.js";
import { bytes, count } from "../../ui/format.js";
import { toast } from "../../ui/toast.js";
import { formatOf } from "./version_text.js";

const PART = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,95}";
const REPOSITORY = `${PART}/${PART}`;
/** Licence names of the hub; requests can name others. */
const LICENSES = ["apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0", "openrail", "creativeml-openrail-m"];

/** @param {API.ModelVersion} version @param {() => unknown} pushed */
export async function pushVersion(version, pushed) {
  const key = newKey();
  const trigger = formatOf(version).metadata?.["modelspec.trigger_phrase"] ?? "";
  const isDone = await askFields(
    t("push.title", { name: `${version.model} v${version.version}` }),
    fields(version, trigger),
    t("push.do"),
    async (given) => {
      const { repository, license, base_model: base, trigger: triggerWord, token } = given;
      const known = Object.entries({ license, base_model: base, trigger: triggerWord, token }).filter(
        ([, value]) => value,
      );
      const order = { repository, private: given.private !== "", samples: given.samples !== "" };
      await models.push(version.model, version.version, { ...order, ...Object.fromEntries(known) }, key);
    },
    contentText(version),
  );
  if (!isDone) return;
  toast("ok", t("push.started"));
  pushed();
}

/** @param {API.ModelVersion} version @param {string} trigger @returns {import("../../ui/form_dialog.js").Field[]} */
const fields = (version, trigger) => [
  {
    name: "repository",
    label: t("push.repository"),
    hint: t("push.repository.hint"),
    placeholder: `name/${version.model}`,
    pattern: REPOSITORY,
    required: true,
    value: "",
  },
  { name: "private", label: t("push.private"), hint: t("push.private.hint"), type: "checkbox", value: "yes" },
  ...(version.samples
    ? [
        {
          name: "samples",
          label: t("push.samples", { n: count(version.samples) }),
          type: /** @type {const} */ ("checkbox"),
          value: "yes",
        },
      ]
    : []),
  {
    name: "token",
    label: t("hub.token"),
    hint: t("push.token.hint"),
    type: "password",
    placeholder: "hf_…",
    value: "",
  },
  {
    name: "license",
    label: t("license"),
    options: [["", t("push.license.none")], ...LICENSES.map((each) => /** @type {[string, string]} */ ([each, each]))],
    value: "",
  },
  {
    name: "base_model",
    label: t("push.base"),
    hint: t("push.base.hint"),
    pattern: REPOSITORY,
    placeholder: "black-forest-labs/FLUX.1-dev",
    value: "",
  },
  { name: "trigger", label: t("metadata.trigger"), hint: t("optional"), value: trigger },
];

/** @param {API.ModelVersion} version */
const contentText = (version) =>
  h(
    "div.push-what",
    h("p", t("push.what")),
    h(
      "ul",
      h("li", h("span.mono.foreign", version.file_name), ` · ${bytes(version.size_bytes)}`),
      h("li", h("span.mono", "README.md"), ` · ${t("push.card")}`),
    ),
  );
