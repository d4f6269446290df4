// Adds files to a dataset by drag and drop or file pickers, and shows uploads.

import { soon } from "../../app/debounce.js";
import { t } from "../../app/i18n.js";
import { setDenied } from "../../ui/buttons.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { openMenu } from "../../ui/menu.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { dropZone, filePicker } from "../../ui/uploads/drop.js";
import { chosenFiles } from "../../ui/uploads/files.js";
import { uploadsPanel } from "../../ui/uploads/panel.js";
import { addFiles, canUpload, interrupted, onUploaded } from "../../ui/uploads/uploads.js";

/** Pause that combines files uploaded together. */
const SHOW_PAUSE_MS = 700;

/**
 * @param {string} name of the dataset
 * @param {{denied: () => string|null, added: () => unknown}} handlers `denied` returns why nothing may be added
 */
export function addingFiles(name, handlers) {
  const panel = uploadsPanel((place) => place === name);
  const left = h("div");
  const whyNot = () => (canUpload ? handlers.denied() : t("upload.absent"));

  /** @param {readonly import("../../ui/uploads/files.js").Found[]} files */
  function add(files) {
    const why = whyNot();
    if (why) return toast("bad", why);
    if (!files.length) return toast("bad", t("upload.nothing"));
    fill(left);
    addFiles(name, files);
  }

  const files = filePicker(false, (input) => add(chosenFiles(input)));
  const folder = filePicker(true, (input) => add(chosenFiles(input)));
  const button = h("button.button", { "aria-haspopup": "menu" }, icon("up"), t("upload.ask"));
  button.addEventListener("click", () => {
    const why = whyNot();
    if (why) return toast("bad", why);
    openMenu(button, [
      { label: t("upload.folder"), icon: "folder", run: () => folder.click() },
      { label: t("upload.files"), icon: "file", run: () => files.click() },
    ]);
  });
  const removeDropZone = dropZone(() => whyNot() ?? t("upload.drop", { name }), add);
  const addedSoon = soon(handlers.added, SHOW_PAUSE_MS);
  const unwatchUploads = onUploaded((dataset) => dataset === name && addedSoon());
  interrupted(({ dataset }) => dataset === name).then(
    ({ length: n }) => fill(left, n > 0 && note("warn", h("p", t("upload.interrupted", { n: count(n) })))),
    () => {},
  );

  return {
    button,
    element: h("div.stack.adding", left, panel.element, files, folder),
    showAccess() {
      const why = whyNot();
      setDenied(button, why);
    },
    close() {
      removeDropZone();
      unwatchUploads();
      addedSoon.cancel();
      panel.close();
    },
  };
}
