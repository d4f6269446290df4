// Short news in a corner; read out politely.

import { Refused } from "../app/api.js";
import { t } from "../app/i18n.js";
import { refusalWords } from "../app/refusal.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

const SHOWN_MS = { ok: 4000, bad: 12_000 };

const region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
document.body.append(region);

/** Shows a message; the result closes it. @param {"ok"|"bad"} tone @param {...Child} content */
export function toast(tone, ...content) {
  const close = () => void element.remove();
  /** @type {HTMLElement} */
  const element = h(
    "div",
    { class: "toast", data: { tone } },
    icon(tone === "ok" ? "check" : "cross"),
    h("div", { class: "grow foreign" }, content),
    h("button", { class: "icon-button small", "aria-label": t("close"), on: { click: close } }, icon("close")),
  );
  region.append(element);
  // What can be undone stays long enough to be read and clicked.
  const isUndoable = element.querySelector(".grow button") !== null;
  setTimeout(close, isUndoable ? SHOWN_MS.bad : SHOWN_MS[tone]);
  return close;
}

/** What went wrong. That nobody is signed in any more, the sign-in says. @param {unknown} error */
export function toastError(error) {
  if (!(error instanceof Refused && error.status === 401)) toast("bad", refusalWords(error));
}

/**
 * Runs what a button does; a failure is told.
 * @template T
 * @param {() => T|Promise<T>} action
 * @returns {Promise<T|undefined>} what it gave, or undefined
 */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    toastError(error);
    return undefined;
  }
}
