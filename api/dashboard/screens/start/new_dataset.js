// A new dataset for the training, from files dropped on the form or chosen by a button.

import { access, whyNot } from "../../app/access.js";
import { t } from "../../app/i18n.js";
import { loadStyleOnce } from "../../app/shell/style.js";
import { setDenied } from "../../ui/buttons.js";
import { h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { openMenu } from "../../ui/menu.js";
import { attempt, toast } from "../../ui/toast.js";
import { dropZone, filePicker } from "../../ui/uploads/drop.js";
import { chosenFiles } from "../../ui/uploads/files.js";

/**
 * The datasets that are uploaded for the form, and how many of their files were there when it chose them; null: no file
 * is known yet. They stay while the user looks at another screen.
 * @type {Map<string, number|null>}
 */
const meant = new Map();

/** Whether uploads are available; uploads.js, which knows it too, is loaded when files arrive. */
const canUpload = document.querySelector("meta[name=uploads]") !== null;

/**
 * @param {(name: string) => Promise<unknown>} choose called with the name of a dataset that has all its files
 */
export function newDataset(choose) {
  const panel = h("div");
  const whyNotNow = () => whyNot("datasets:write") ?? (canUpload ? null : t("upload.absent"));
  /** What stops watching. @type {(() => void)[]} */
  let ends = [];
  let isClosed = false;

  /** @param {import("../../ui/uploads/files.js").Found[]} files @param {string} [folder] */
  async function add(files, folder = "") {
    const why = whyNotNow();
    if (why) return toast("bad", why);
    if (!files.length) return toast("bad", t("upload.nothing"));
    const [{ askForDataset, nameFrom }, { addFiles }] = await Promise.all([
      import("../datasets/dialogs.js"),
      import("../../ui/uploads/uploads.js"),
    ]);
    const made = await askForDataset(null, nameFrom(folder), true);
    if (!made) return;
    meant.set(made.name, null);
    addFiles(made.name, files);
    await watch();
  }

  /** Shows the uploads, and chooses each dataset when its last file has arrived. */
  async function watch() {
    const [{ uploads }, { uploadsPanel }] = await Promise.all([
      import("../../ui/uploads/uploads.js"),
      import("../../ui/uploads/panel.js"),
      loadStyleOnce("data"),
    ]);
    if (isClosed || ends.length) return;
    const shown = uploadsPanel((place) => meant.has(place));
    panel.append(shown.element);
    const unwatch = uploads.watch(({ jobs }) => {
      for (const [name, before] of meant) {
        const own = jobs.filter(({ place }) => place === name);
        const done = own.filter(({ state }) => state === "done").length;
        const isOver = own.every(({ state }) => state === "done" || state === "failed");
        // The user cancelled or dismissed them.
        if (!own.length && before !== null) meant.delete(name);
        else if (own.length) meant.set(name, isOver ? done : (before ?? 0));
        if (own.length && isOver && done > (before ?? 0)) attempt(() => choose(name));
      }
    });
    ends = [unwatch, shown.close];
  }

  /** @param {HTMLInputElement} input */
  const chosen = (input) =>
    void attempt(() => add(chosenFiles(input), input.files?.[0]?.webkitRelativePath.split("/")[0]));
  const [files, folder] = [filePicker(false, chosen), filePicker(true, chosen)];
  const button = h(
    "button.text-button",
    { type: "button", "aria-haspopup": "menu", on: { click: ask } },
    icon("up"),
    " ",
    t("dataset.create"),
  );
  function ask() {
    const why = whyNotNow();
    if (why) return toast("bad", why);
    openMenu(button, [
      { label: t("upload.folder"), icon: "folder", run: () => folder.click() },
      { label: t("upload.files"), icon: "file", run: () => files.click() },
    ]);
  }
  const unwatchAccess = access.watch(() => setDenied(button, whyNotNow()));
  const removeDropZone = dropZone(() => {
    loadStyleOnce("data").catch(() => {});
    return whyNotNow() ?? t("upload.drop.new");
  }, add);
  if (meant.size) attempt(watch);
  return {
    button,
    element: h("div", panel, files, folder),
    close() {
      isClosed = true;
      removeDropZone();
      unwatchAccess();
      for (const end of ends) end();
    },
  };
}
