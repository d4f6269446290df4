// The list of datasets.

import { access, whyNot } from "../../app/access.js";
import { data } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { datasetAddress, go } from "../../app/router.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { bytes } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { namedList } from "../../ui/named_list.js";
import { attempt, toast } from "../../ui/toast.js";
import { dropZone } from "../../ui/uploads/drop.js";
import { droppedFiles, folderName } from "../../ui/uploads/files.js";
import { addFiles, canUpload } from "../../ui/uploads/uploads.js";
import { askForDataset } from "./dialogs.js";
import { datasetRow } from "./row.js";

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, place) {
  const sum = h("span", { class: "soft small" });
  const list = namedList(app, place, {
    address: "/data",
    title: t("data.all"),
    async list(values) {
      const { datasets: rows, pagination } = await data.list(values);
      return { rows, pagination };
    },
    newRow: datasetRow,
    nothing,
    tools: h("div", { class: "tools" }, sum),
    drawn(rows, isWhole) {
      const stored = rows.reduce((all, { stored_bytes: size }) => all + size, 0);
      fill(sum, rows.length > 0 && isWhole && t("data.stored", { size: bytes(stored) }));
    },
  });
  const make = () => {
    const why = whyNot("datasets:write");
    if (why) toast("bad", why);
    else attempt(makeOne);
  };
  const button = h("button", { class: "button primary", on: { click: make } }, icon("plus"), t("data.new.ask"));
  const unwatchAccess = access.watch(() => {
    const why = whyNot("datasets:write");
    setAttribute(button, "aria-disabled", why ? "true" : null);
    setAttribute(button, "title", why);
  });

  async function makeOne() {
    const made = await askForDataset(null);
    if (made) go(datasetAddress(made.name).slice(1));
  }

  const removeDropZone = dropZone(
    () => whyNot("datasets:write") ?? (canUpload ? t("upload.drop.new") : t("upload.absent")),
    (transfer) => {
      const why = whyNot("datasets:write") ?? (canUpload ? null : t("upload.absent"));
      if (why) return toast("bad", why);
      const [files, name] = [droppedFiles(transfer), folderName(transfer)];
      attempt(async () => addTo(await askForDataset(null, name), await files));
    },
  );

  /** @param {API.Dataset|null} made @param {import("../../ui/uploads/files.js").Found[]} files */
  function addTo(made, files) {
    if (!made) return;
    addFiles(made.name, files);
    go(datasetAddress(made.name).slice(1));
  }

  return {
    element: h(
      "div",
      { class: "screen" },
      h("div", { class: "screen-head" }, h("h1", {}, t("nav.data")), h("div", { class: "tools" }, button)),
      list.filters,
      list.panel,
    ),
    title: () => t("nav.data"),
    topics: "gpu,system",
    on: {},
    refetch: list.refetch,
    keys: list.keys,
    close() {
      unwatchAccess();
      removeDropZone();
      list.close();
    },
  };
}

/** The empty state with an action. */
const nothing = () =>
  h("div", { class: "empty" }, icon("stack"), h("strong", {}, t("data.none")), h("p", {}, t("data.none.text")));
