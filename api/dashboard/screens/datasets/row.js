// The row of a dataset in the list.

import { whyNot } from "../../app/access.js";
import { t } from "../../app/i18n.js";
import { datasetAddress } from "../../app/router.js";
import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { menuButton } from "../../ui/menu.js";
import { setTime, time } from "../../ui/time.js";
import { datasetChoices } from "./dialogs.js";

/** @param {API.Dataset} first its current state @param {() => unknown} changed */
export function datasetRow(first, changed) {
  let dataset = first;
  const link = h("a", { class: "task-name clip foreign", href: datasetAddress(first.name) });
  const under = h("p", { class: "soft small clip foreign" });
  const tags = h("div", { class: "tag-row" });
  const where = h("p", { class: "faint tiny clip foreign", hidden: true });
  const [items, version, size, owner] = [
    h("p"),
    h("p"),
    h("span", { class: "num" }),
    h("span", { class: "foreign clip" }),
  ];
  const when = time(first.updated_at);
  const menu = menuButton(t("actions.of", { name: first.name }), () =>
    datasetChoices(dataset, whyNot("datasets:write", dataset.owner), changed),
  );
  const element = h(
    "li",
    { class: "dataset-row", data: { dataset: first.name } },
    h("div", { class: "cell name-cell" }, link, under, tags, where),
    h("div", { class: "cell version-cell small soft" }, items, version),
    h("div", { class: "cell size-cell small" }, size),
    h("div", { class: "cell owner-cell small soft" }, owner),
    h("div", { class: "cell small soft when-cell" }, when),
    h("div", { class: "cell menu-cell" }, menu),
  );
  // The whole row links to the dataset, except links and buttons in it.
  element.addEventListener("click", (event) => {
    if (event.target instanceof Element && !event.target.closest("a, button") && !String(getSelection())) link.click();
  });
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
        dataset.tags.map((tag) => h("span", { class: "tag foreign" }, tag)),
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
