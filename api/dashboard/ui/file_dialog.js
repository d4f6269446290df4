// A dialog to choose a directory or file of the server, by mouse or keyboard.

import { setup } from "../app/api_setup.js";
import { refusalText } from "../app/error_text.js";
import { t } from "../app/i18n.js";
import { openDialog } from "./dialog.js";
import { fill, h } from "./dom.js";
import { bytes } from "./format.js";
import { icon } from "./icons.js";
import { note } from "./status.js";

/** What may be chosen. @typedef {"directory"|"file"|"any"} Wanted */

const PAGE = 200;

/** The path above, or null. @param {string} path */
const above = (path) => path.slice(0, Math.max(0, path.lastIndexOf("/"))) || null;

/**
 * Opens the dialog; resolves to the absolute path, or null.
 * @param {Wanted} wanted @param {string} [start] the path to begin with
 * @returns {Promise<string|null>}
 */
export function chooseFile(wanted, start = "") {
  return new Promise((resolve) => {
    /** @type {string|null} */
    let chosen = null;
    /** The directory shown; null: the list of directories in which to start. @type {string|null} */
    let here = null;
    let close = () => {};
    /** Distinguishes the latest request. */
    let turn = 0;

    const title = t(`browse.title.${wanted}`);
    const where = h("p.small.foreign.file-here", { "aria-live": "polite" });
    const up = h(
      "button.button.small",
      { type: "button", on: { click: () => void showParent() } },
      icon("up"),
      t("browse.up"),
    );
    const list = h("ul.file-list", { "aria-label": title });
    const status = h("div", { role: "status" });
    const choose = h("button.button.primary", { type: "button", on: { click: () => here && take(here) } });
    /** @type {string|null} */
    let parent = null;
    let isFirst = true;

    /** @param {string} path */
    function take(path) {
      chosen = path;
      close();
    }

    /** Files are listed even if only a directory may be chosen, since people recognise it by them. @param {string|null} path @param {string} [focused] the path of the entry to focus */
    async function show(path, focused) {
      const mine = ++turn;
      list.setAttribute("aria-busy", "true");
      try {
        const found = await setup.files({ path, limit: PAGE });
        if (mine !== turn) return;
        const [only, ...others] = found.entries;
        // A list of one directory is no choice.
        if (path === null && isFirst && only && !others.length) {
          isFirst = false;
          return void show(only.path);
        }
        isFirst = false;
        here = found.path;
        parent = found.parent;
        fill(where, here ?? t("browse.starts"));
        up.disabled = here === null;
        choose.hidden = wanted === "file";
        choose.disabled = here === null;
        const isEmpty = !found.entries.length;
        fill(list, isEmpty && h("li", h("p.none.faint.small", t(here ? "browse.empty" : "browse.none"))));
        add(found);
        fill(status, found.truncated && note("warn", h("p", t("browse.truncated"))));
        focusOn(focused);
      } catch (error) {
        if (mine !== turn) return;
        // The path is that of a file, or mistyped: begin above it, or at the start.
        if (path !== null && isFirst) return void show(above(path));
        fill(status, note("bad", h("p", refusalText(error))));
      } finally {
        if (mine === turn) list.removeAttribute("aria-busy");
      }
    }

    /** @param {API.FileListing} found */
    function add(found) {
      list.append(...found.entries.map(row));
      const cursor = found.pagination.next_cursor;
      if (!cursor) return;
      const more = h("li", h("button.button.small", { type: "button", on: { click: load } }, t("browse.more")));
      list.append(more);
      const mine = turn;

      async function load() {
        const next = await setup.files({ path: here, limit: PAGE, cursor });
        if (mine !== turn) return;
        const last = /** @type {HTMLElement|null} */ (more.previousElementSibling);
        more.remove();
        add(next);
        /** @type {HTMLElement|null|undefined} */ (last?.nextElementSibling?.querySelector("button"))?.focus();
      }
    }

    /** @param {API.FileListing["entries"][number]} entry */
    function row({ name, path, kind, size_bytes: size }) {
      const isDirectory = kind === "directory";
      const label = [
        icon(isDirectory ? "folder" : "file"),
        h("span.grow.clip.foreign", name),
        size !== null && h("span.faint.tiny.num", bytes(size)),
      ];
      if (!isDirectory && wanted === "directory") return h("li.file-line.soft", { title: name }, label);
      const open = () => (isDirectory ? void show(path) : take(path));
      const button = h(
        "button",
        { type: "button", data: { path }, title: name, on: { click: open } },
        label,
        isDirectory && icon("right"),
      );
      return h("li", button);
    }

    async function showParent() {
      if (here !== null) await show(parent, here);
    }

    /** @param {string} [path] */
    function focusOn(path) {
      const rows = buttons();
      const wantedRow = rows.find((each) => each.dataset.path === path) ?? rows[0];
      if (wantedRow) wantedRow.focus();
      else (choose.hidden || choose.disabled ? up : choose).focus();
    }

    /** @returns {HTMLElement[]} */
    const buttons = () => [...list.querySelectorAll("button")];

    /** Arrow keys move, Backspace and ← lead up, → opens a directory. @param {KeyboardEvent} event */
    function press(event) {
      const rows = buttons();
      const index = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -rows.length, End: rows.length };
      const step = steps[/** @type {keyof typeof steps} */ (event.key)];
      if (step !== undefined && rows.length) {
        rows[Math.min(rows.length - 1, Math.max(0, index + step))].focus();
      } else if (event.key === "Backspace" || event.key === "ArrowLeft") void showParent();
      else if (event.key === "ArrowRight" && index >= 0) rows[index].click();
      else return;
      event.preventDefault();
    }

    fill(choose, t("browse.choose"));
    const dialog = openDialog(
      title,
      (closeDialog) => {
        close = closeDialog;
        return h(
          "div.inside",
          h("h2", title),
          h("div.file-head", up, where),
          list,
          status,
          h("div.choices", h("button.button", { type: "button", on: { click: closeDialog } }, t("cancel")), choose),
        );
      },
      "file-dialog",
    );
    dialog.addEventListener("keydown", press);
    dialog.addEventListener("close", () => resolve(chosen));
    void show(start || null);
  });
}
