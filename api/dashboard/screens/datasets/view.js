// The list of datasets.

import { access, whyNot } from "../../app/access.js";
import { data } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { datasetAddress, go, storeQuery } from "../../app/router.js";
import { setDenied } from "../../ui/buttons.js";
import { fill, h, openByRow, setAttribute, setText } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { menuButton } from "../../ui/menu.js";
import { namedList } from "../../ui/named_list.js";
import { setTime, time } from "../../ui/time.js";
import { attempt, toast } from "../../ui/toast.js";
import { dropZone } from "../../ui/uploads/drop.js";
import { addFiles, canUpload } from "../../ui/uploads/uploads.js";
import { askForDataset, datasetChoices, nameFrom } from "./dialogs.js";

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, place) {
  const sum = h("span.soft.small");
  const list = namedList(app, place, {
    address: "/datasets",
    title: t("data.all"),
    async list(values) {
      const { datasets: rows, pagination } = await data.list(values);
      return { rows, pagination };
    },
    newRow: datasetRow,
    nothing,
    tools: h("div.tools", sum),
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
  const button = h("button.button.primary", { on: { click: make } }, icon("plus"), t("data.new.ask"));
  const unwatchAccess = access.watch(() => {
    const why = whyNot("datasets:write");
    setDenied(button, why);
  });

  async function makeOne() {
    const made = await askForDataset(null);
    if (made) go(datasetAddress(made.name).slice(1));
  }

  const removeDropZone = dropZone(
    () => whyNot("datasets:write") ?? (canUpload ? t("upload.drop.new") : t("upload.absent")),
    async (files, name) => {
      const why = whyNot("datasets:write") ?? (canUpload ? null : t("upload.absent"));
      if (why) toast("bad", why);
      else addTo(await askForDataset(null, nameFrom(name), true), files);
    },
  );

  // A link elsewhere asks for the dialog; a reload must not.
  if (place.query.has("new")) {
    storeQuery("/datasets", {});
    make();
  }

  /** @param {API.Dataset|null} made @param {import("../../ui/uploads/files.js").Found[]} files */
  function addTo(made, files) {
    if (!made) return;
    addFiles(made.name, files);
    go(datasetAddress(made.name).slice(1));
  }

  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.data")), h("div.tools", button)),
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
const nothing = () => h("div.empty", icon("stack"), h("strong", t("data.none")), h("p", t("data.none.text")));

/** @param {API.Dataset} first its current state @param {() => unknown} changed */
function datasetRow(first, changed) {
  let dataset = first;
  const link = h("a.task-name.clip.foreign", { href: datasetAddress(first.name) });
  const under = h("p.soft.small.clip.foreign");
  const tags = h("div.tag-row");
  const where = h("p.faint.tiny.clip.foreign", { hidden: true });
  const [items, version, size, owner] = [h("p"), h("p"), h("span.num"), h("span.foreign.clip")];
  const when = time(first.updated_at);
  const menu = menuButton(t("actions.of", { name: first.name }), () =>
    datasetChoices(dataset, whyNot("datasets:write", dataset.owner), changed),
  );
  const element = h(
    "li.dataset-row",
    { data: { dataset: first.name } },
    h("div.cell.name-cell", link, under, tags, where),
    h("div.cell.version-cell.small.soft", items, version),
    h("div.cell.size-cell.small", size),
    h("div.cell.owner-cell.small.soft", owner),
    h("div.cell.small.soft.when-cell", when),
    h("div.cell.menu-cell", menu),
  );
  openByRow(element, link);
  return {
    element,
    link,
    /** @param {API.Dataset} next */
    update(next) {
      dataset = next;
      setText(link, dataset.name);
      setText(under, dataset.description ?? "");
      under.hidden = !dataset.description;
      fill(
        tags,
        dataset.tags.map((tag) => h("span.tag.foreign", tag)),
      );
      where.hidden = !dataset.directory;
      fill(where, dataset.directory && [icon("folder"), dataset.directory]);
      setAttribute(where, "title", dataset.directory);
      setText(items, dataset.items === null ? t("data.empty") : t("items.n", { n: count(dataset.items) }));
      setText(version, dataset.latest === null ? "" : t("version.n", { n: count(dataset.latest) }));
      setText(size, dataset.directory ? t("data.in_place") : bytes(dataset.stored_bytes));
      setText(owner, dataset.owner ?? "");
      setTime(when, dataset.updated_at);
    },
  };
}
