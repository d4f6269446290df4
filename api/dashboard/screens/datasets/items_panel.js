// The items of a version: search, selection, and edits.

import { data } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { setDenied } from "../../ui/buttons.js";
import { fill, h, setText } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { searchField } from "../../ui/search_field.js";
import { attempt, toast, toastError } from "../../ui/toast.js";
import { amountText, Grid } from "./grid.js";
import { Items } from "./items.js";
import { MAX_NAMED, Selection } from "./selection.js";
import { problemLabel } from "./tile.js";

/** Problems offered as filters. */
const PROBLEMS = [
  "any",
  "missing_caption",
  "empty_caption",
  "unreadable",
  "truncated",
  "media_bomb",
  "not_media",
  "turned",
  "variable_frame_rate",
  "excluded",
  "included",
];

/** @type {Record<string, "true"|"false">} */
const EXCLUDED = { excluded: "true", included: "false" };

/** The API's filter for an entry of the problem list. @param {{search: string, problem: string}} wanted */
const filterOf = ({ search, problem }) =>
  problem in EXCLUDED ? { search, problem: "", excluded: EXCLUDED[problem] } : { search, problem };

/** @typedef {"remove"|"exclude"|"include"} ItemChange */

/**
 * @param {string} name of the dataset
 * @param {object} options
 * @param {{search: string, problem: string, version: number|null}} options.wanted changed by this panel
 * @param {() => number|null} options.shown the version shown
 * @param {() => number|null} options.latest
 * @param {() => boolean} options.isOld
 * @param {() => string|null} options.denied why captions cannot be changed
 * @param {() => string|null} options.deniedItems why items cannot be removed or excluded
 * @param {() => boolean} options.isRegistered whether the dataset is a directory on the server
 * @param {(version: API.DatasetVersion, message: string) => void} options.edited
 * @param {() => void} options.filtered
 */
export function itemsPanel(name, options) {
  const { wanted } = options;
  const items = new Items(name, { changed: () => showItems(), failed: toastError });
  const chosen = new Selection(() => showItems());
  const grid = new Grid({
    items,
    chosen,
    version: () => (options.isOld() ? options.shown() : null),
    open: (index) => void attempt(() => openAt(index)),
    denied() {
      const why = options.denied();
      if (why) toast("bad", why);
      return why;
    },
    save: saveCaption,
    remove: (item) => void attempt(() => changeChosen("remove", item)),
    exclude: (item) => void attempt(() => changeChosen(isExcluded(item) ? "include" : "exclude", item)),
  });

  const search = searchField(t("items.search"), wanted.search, (text) => apply({ search: text }));
  search.input.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    grid.element.focus();
  });
  /** @type {HTMLSelectElement} */
  const problem = h(
    "select.input.model-filter",
    { "aria-label": t("problem"), on: { change: () => apply({ problem: problem.value }) } },
    h("option", { value: "" }, t("problem.all")),
    PROBLEMS.map((each) => h("option", { value: each, selected: each === wanted.problem }, problemLabel(each))),
  );
  /** Items selected elsewhere, such as those of a bucket. @type {import("./check.js").Some|null} */
  let only = null;
  const onlyText = h("span.clip.foreign");
  const onlyButton = h(
    "button.button.small.only-some",
    { hidden: true, title: t("filter.clear"), on: { click: () => apply({}) } },
    onlyText,
    icon("close"),
  );
  const amount = h("span.soft.small", { role: "status", "aria-live": "polite" });
  const all = h("button.button.small", { on: { click: () => chosen.all() } }, t("choose.all"));
  const none = h("button.button.small", { on: { click: () => chosen.clear() } }, t("choose.none"));
  const edit = h("button.button.small", { on: { click: () => void attempt(editChosen) } }, icon("pen"), t("edit.ask"));
  /** @param {WordKey} label @param {import("../../ui/icons.js").IconName} sign @param {() => Promise<unknown>} run */
  const chosenButton = (label, sign, run) =>
    h("button.button.small", { hidden: true, on: { click: () => void attempt(run) } }, icon(sign), t(label));
  const exclude = chosenButton("items.exclude", "cross", () => changeChosen("exclude"));
  const include = chosenButton("items.include", "eye", () => changeChosen("include"));
  const split = chosenButton("items.split", "leave", splitChosen);
  const removal = chosenButton("items.remove", "trash", () => changeChosen("remove"));
  const empty = h("div");
  const hint = h("p.faint.tiny.only-wide.grid-hint", t("grid.hint"));

  function showItems() {
    if (!items.isKnown) return;
    const n = chosen.count(items.total);
    setText(amount, amountText(items.total, n));
    none.hidden = n === 0;
    all.hidden = edit.hidden = items.total === 0;
    const picked = n === 0 ? [] : items.known.filter((item) => chosen.has(item));
    removal.hidden = split.hidden = n === 0;
    include.hidden = !picked.some((item) => item.excluded);
    exclude.hidden = n === 0 || (picked.length > 0 && picked.every((item) => item.excluded));
    grid.element.hidden = hint.hidden = items.total === 0;
    fill(empty, items.total === 0 && nothing());
    grid.fit();
    grid.draw();
  }

  function nothing() {
    const isFiltered = wanted.search || wanted.problem || only;
    return h(
      "div.empty",
      icon(isFiltered ? "search" : "stack"),
      h("p", t(isFiltered ? "filter.none" : options.isRegistered() ? "data.registered.why" : "items.none")),
      isFiltered && h("button.button", { on: { click: () => apply({ search: "", problem: "" }) } }, t("filter.clear")),
    );
  }

  /** @param {{search?: string, problem?: string}} change @param {import("./check.js").Some|null} [some] show only these */
  function apply(change, some = null) {
    Object.assign(wanted, change);
    only = some;
    onlyButton.hidden = !only;
    setText(onlyText, only?.label ?? "");
    search.input.value = wanted.search;
    problem.value = wanted.problem;
    options.filtered();
    chosen.clear();
    attempt(() => show(true));
  }

  /** Shows the current items; `isNew` scrolls to the first. @param {boolean} [isNew] */
  async function show(isNew = false) {
    const version = options.shown();
    if (version === null) {
      items.isKnown = true;
      return showItems();
    }
    await items.show(version, filterOf(wanted), only && new Set(only.ids));
    if (isNew) grid.reset();
  }

  /** @param {number} index */
  const openAt = async (index) =>
    (await import("./item.js")).openItem(name, {
      index,
      version: options.isOld() ? options.shown() : null,
      total: items.total,
      get: (at) => items.get(at),
      denied: options.denied(),
      save: saveCaption,
      deniedItems: options.deniedItems(),
      change,
      closed(at) {
        grid.go(at);
        grid.element.focus({ preventScroll: true });
      },
    });

  /** @param {API.Item} item @param {string} caption */
  async function saveCaption({ item_id: id, name: item }, caption) {
    const body = { changes: [{ item_id: id, caption }], version: options.latest() };
    const edit = await data.captions(name, body);
    await follow(edit, [id], t("caption.saved", { name: item }));
  }

  /** @param {API.CaptionEdit} edit @param {string[]} ids of the changed items @param {string} message */
  async function follow({ version }, ids, message) {
    if (!version) return;
    options.edited(version, message);
    const changed = await Promise.all(ids.map((id) => data.item(name, id, { version: version.version })));
    items.follow(version.version, changed);
  }

  /**
   * The items of an edit. Null: too many.
   * @returns {Promise<import("./edit_many.js").Scope|null>} null: they are too many
   */
  async function scope() {
    const isSome = !chosen.isNone && !chosen.isAll;
    if (!isSome && !wanted.problem && !only) return wanted.search ? { search: wanted.search } : {};
    const ids = isSome ? chosen.ids : (await items.all()).map(({ item_id: id }) => id);
    if (ids.length <= MAX_NAMED) return { item_ids: ids };
    toast("bad", t("edit.too_many", { n: count(MAX_NAMED) }));
    return null;
  }

  async function editChosen() {
    const [why, latest] = [options.denied(), options.latest()];
    if (why || latest === null) return toast("bad", why ?? t("data.empty"));
    const about = await scope();
    if (!about) return;
    const n = chosen.isNone ? items.total : chosen.count(items.total);
    const { editMany } = await import("./edit_many.js");
    const edit = await editMany(name, latest, about, n);
    if (!edit?.version) return;
    options.edited(edit.version, t("edit.done", { n: count(edit.changed) }));
    await show();
  }

  /** Whether the selected items, or this one if none is selected, are excluded. @param {API.Item} item */
  function isExcluded(item) {
    const picked = chosen.isNone ? [item] : items.known.filter((each) => chosen.has(each));
    return picked.length > 0 && picked.every(({ excluded }) => excluded);
  }

  /** The ids of the selected items, or of this one if none is selected. @param {API.Item} [item] */
  async function chosenIds(item) {
    if (chosen.isNone) return item ? [item.item_id] : [];
    return chosen.isAll ? (await items.all()).map(({ item_id: id }) => id) : chosen.ids;
  }

  /** @param {ItemChange} what @param {API.Item} [item] */
  const changeChosen = async (what, item) => change(what, await chosenIds(item));

  /** Whether items cannot be edited now; reports why. @param {readonly string[]} ids @param {string|null} why */
  function isRefused(ids, why) {
    const problem = why ?? (ids.length > MAX_NAMED ? t("items.too_many", { n: count(MAX_NAMED) }) : null);
    if (problem) toast("bad", problem);
    return problem !== null;
  }

  /**
   * Removes, excludes or includes items in a new version. @param {ItemChange} what @param {readonly string[]} ids
   * @returns {Promise<boolean>} whether anything changed
   */
  async function change(what, ids) {
    if (!ids.length || isRefused(ids, options.deniedItems())) return false;
    const edit = await data.editItems(name, { [what]: [...ids], version: options.latest() });
    if (!edit.version) {
      toast("ok", t("items.unchanged"));
      return false;
    }
    const [verb, n] = /** @type {const} */ ({
      remove: ["items.removed", edit.removed],
      exclude: ["items.excluded.n", edit.excluded],
      include: ["items.included", edit.included],
    })[what];
    options.edited(edit.version, t(verb, { n: count(n) }));
    if (what === "remove") chosen.clear();
    await show();
    return true;
  }

  async function splitChosen() {
    const [ids, latest] = [await chosenIds(), options.latest()];
    if (latest === null || isRefused(ids, options.denied())) return;
    const { askForSplit } = await import("./split.js");
    const made = await askForSplit(name, latest, ids);
    if (!made?.version) return;
    options.edited(made.version, t("split.done", { n: count(made.moved), into: made.into }));
    chosen.clear();
    await show();
  }

  function showAccess() {
    for (const [button, why] of /** @type {const} */ ([
      [edit, options.denied()],
      [split, options.denied()],
      [exclude, options.deniedItems()],
      [include, options.deniedItems()],
      [removal, options.deniedItems()],
    ])) {
      setDenied(button, why);
    }
  }

  const element = h(
    "section.items-panel",
    { "aria-label": t("items") },
    h(
      "div.filters",
      search.element,
      problem,
      onlyButton,
      amount,
      h("div.tools", all, none, edit, exclude, include, split, removal),
    ),
    grid.element,
    hint,
    empty,
  );
  return {
    element,
    items,
    show,
    showAccess,
    /** @param {string} text */
    search: (text) => apply({ search: text, problem: "" }),
    /** @param {string} name */
    showProblem: (name) => apply({ search: "", problem: name }),
    /** @param {import("./check.js").Some} some */
    showSome: (some) => apply({ search: "", problem: "" }, some),
    change,
    focus: () => grid.element.focus({ preventScroll: true }),
    close() {
      search.close();
      grid.close();
    },
    refetch: () => show(),
  };
}
