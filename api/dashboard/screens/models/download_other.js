// Downloads outside of the catalog: files of a repository, or one file by URL and hash.

import { whyNot } from "../../app/access.js";
import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { askFields } from "../../ui/form_dialog.js";
import { icon } from "../../ui/icons.js";
import { openMenu } from "../../ui/menu.js";
import { attempt, toast } from "../../ui/toast.js";

const PART = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,95}";
const SHA256 = "[0-9a-f]{64}";
/** A path, optionally with its required hash. */
const PINNED = /^(.*\S)\s+([0-9a-f]{64})$/;

/** @param {() => unknown} started called when a download has started */
export function otherDownloads(started) {
  const button = h(
    "button.button.small",
    { type: "button", "aria-haspopup": "menu" },
    icon("plus"),
    t("download.other"),
  );
  /** @param {(started: () => unknown) => Promise<unknown>} ask */
  const run = (ask) => () => {
    const why = whyNot("models:write");
    if (why) toast("bad", why);
    else void attempt(() => ask(started));
  };
  button.addEventListener("click", () =>
    openMenu(button, [
      { label: t("download.repository.ask"), icon: "cube", run: run(askForRepository) },
      { label: t("download.url.ask"), icon: "arrow", run: run(askForAddress) },
    ]),
  );
  return button;
}

/** @param {() => unknown} started */
async function askForRepository(started) {
  const key = newKey();
  await askFields(
    t("download.repository.title"),
    [
      {
        name: "repository",
        label: t("push.repository"),
        placeholder: "Comfy-Org/z_image_turbo",
        pattern: `${PART}/${PART}`,
        required: true,
        value: "",
      },
      { name: "files", label: t("download.files"), hint: t("download.files.hint"), rows: 4, value: "" },
      { name: "revision", label: t("download.revision"), hint: t("optional"), placeholder: "main", value: "" },
      {
        name: "token",
        label: t("hub.token"),
        hint: t("hub.token.text"),
        type: "password",
        placeholder: "hf_…",
        value: "",
      },
      { name: "name", label: t("name"), hint: t("optional"), value: "" },
    ],
    t("download.do"),
    async ({ repository, files, ...more }) => {
      const lines = files.split("\n").flatMap((line) => line.trim() || []);
      const wanted = lines.map((line) => {
        const [, path, sha256] = PINNED.exec(line) ?? [];
        return path ? { path, sha256 } : line;
      });
      await models.download({ repository, ...(wanted.length ? { files: wanted } : {}), ...given(more) }, key);
      await started();
    },
    t("download.repository.text"),
  );
}

/** @param {() => unknown} started */
async function askForAddress(started) {
  const key = newKey();
  await askFields(
    t("download.url.title"),
    [
      {
        name: "url",
        label: t("download.url"),
        placeholder: "…/model.safetensors",
        pattern: "https?:\\/\\/\\S+",
        required: true,
        value: "",
      },
      {
        name: "sha256",
        label: "SHA-256",
        hint: t("download.sha256.hint"),
        pattern: `\\s*${SHA256}\\s*`,
        required: true,
        value: "",
      },
      {
        name: "token",
        label: t("download.token"),
        hint: t("download.token.hint"),
        type: "password",
        value: "",
      },
      { name: "name", label: t("name"), hint: t("optional"), value: "" },
    ],
    t("download.do"),
    async ({ url, sha256, ...more }) => {
      await models.download({ url, sha256, ...given(more) }, key);
      await started();
    },
    t("download.url.text"),
  );
}

/** The non-empty values. @param {Record<string, string>} values */
const given = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value));
