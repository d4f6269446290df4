// Uploads of models: drag and drop or file picker, name, resumable upload.

import { whyNot } from "../../app/access.js";
import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { registeredAddress } from "../../app/router.js";
import { setDenied } from "../../ui/buttons.js";
import { fill, h } from "../../ui/dom.js";
import { askFields, MODEL_NAME } from "../../ui/form_dialog.js";
import { bytes } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";
import { dropZone, filePicker } from "../../ui/uploads/drop.js";
import { chosenFiles } from "../../ui/uploads/files.js";
import { uploadsPanel } from "../../ui/uploads/panel.js";
import { addFiles, canUpload, interrupted, onUploaded } from "../../ui/uploads/uploads.js";

const ACCEPTED = ".safetensors,.pt,.pth,.ckpt,.bin";
const PLACE = "/models/";
const SHA256 = "\\s*([0-9a-f]{64})?\\s*";

/** @typedef {import("../../ui/uploads/files.js").Found} Found */

/** @param {() => unknown} added called when a model has a new version */
export function modelUploads(added) {
  const panel = uploadsPanel((place) => place.startsWith(PLACE));
  const [left, done] = [h("div"), h("div", { "aria-live": "polite" })];
  /** Metadata of interrupted uploads. @type {Record<string, string>[]} */
  let cutOff = [];
  const picker = filePicker(false, (input) => add(chosenFiles(input)), { accept: ACCEPTED, isOne: true });
  const button = h("button.button", { type: "button" }, icon("up"), t("model.upload"));
  const denied = () => (canUpload ? whyNot("models:write") : t("upload.absent.models"));

  button.addEventListener("click", () => {
    const why = denied();
    if (why) toast("bad", why);
    else picker.click();
  });

  /** @param {readonly Found[]} files */
  function add(files) {
    const why = denied();
    if (why) return toast("bad", why);
    if (files.length !== 1) return toast("bad", t(files.length ? "model.upload.one" : "upload.nothing"));
    void attempt(() => ask(files[0]));
  }

  /** @param {Found} found */
  async function ask({ file, path }) {
    const known = cutOff.find(({ filename }) => filename === file.name) ?? {};
    const { models: types } = await api.models();
    const choices = types.map(({ id, name }) => /** @type {[string, string]} */ ([id, name]));
    await askFields(
      t("model.upload.title"),
      [
        {
          name: "name",
          label: t("name"),
          hint: t("model.upload.name.hint"),
          pattern: MODEL_NAME,
          required: true,
          value: known.name ?? nameFor(file.name),
        },
        {
          name: "model_type",
          label: t("models.type"),
          options: [["", t("model.upload.type.none")], ...choices],
          value: known.model_type ?? "",
        },
        {
          name: "sha256",
          label: "SHA-256",
          hint: t("model.upload.sha256.hint"),
          pattern: SHA256,
          value: known.sha256 ?? "",
        },
      ],
      t("model.upload.do"),
      async (given) => {
        const about = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
        addFiles(`${PLACE}${given.name}`, [{ file, path: file.name }], { kind: "model", ...about });
        fill(left);
      },
      h("p", h("span.mono.foreign", path), ` · ${bytes(file.size)}`),
    );
  }

  const removeDropZone = dropZone(() => denied() ?? t("model.upload.drop"), add);
  const unwatchUploads = onUploaded((place, result) => {
    if (!place.startsWith(PLACE) || !result?.model) return;
    const link = h("a", { href: registeredAddress(result.model) }, t("version.made.open"));
    fill(done, note("ok", h("p", t("version.made", { n: result.version, name: result.model }), " ", link)));
    added();
  });
  interrupted(({ kind }) => kind === "model").then(
    (found) => {
      cutOff = found;
      const names = found.map(({ filename, name }) => `${filename} (${name})`).join(", ");
      fill(left, found.length > 0 && note("warn", h("p.foreign", t("model.upload.cut_off", { names }))));
    },
    () => {},
  );

  return {
    button,
    element: h("div.stack.adding", left, panel.element, done, picker),
    showAccess() {
      const why = denied();
      setDenied(button, why);
    },
    close() {
      removeDropZone();
      unwatchUploads();
      panel.close();
    },
  };
}

/** A valid model name for a file. @param {string} file */
const nameFor = (file) =>
  file
    .replace(/\.[^.]*$/, "")
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .slice(0, 100);
