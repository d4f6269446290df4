// Short messages in a corner, announced politely.

import { Refused } from "../app/api.js";
import { refusalText } from "../app/error_text.js";
import { t } from "../app/i18n.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

const SHOWN_MS = { ok: 4000, bad: 12_000 };

const region = h("div.toasts", { role: "status", "aria-live": "polite" });
document.body.append(region);

/** Shows a message. The returned function closes it. @param {"ok"|"bad"} tone @param {...Child} content */
export function toast(tone, ...content) {
  const close = () => void element.remove();
  /** @type {HTMLElement} */
  const element = h(
    "div.toast",
    { data: { tone } },
    icon(tone === "ok" ? "check" : "cross"),
    h("div.grow.foreign", content),
    h("button.text-button", { on: { click: close } }, t("close")),
  );
  region.append(element);
  // Messages with an undo button stay longer.
  const isUndoable = element.querySelector(".grow button") !== null;
  setTimeout(close, isUndoable ? SHOWN_MS.bad : SHOWN_MS[tone]);
  return close;
}

/** Shows an error. An ended session is reported by the sign-in screen. @param {unknown} error */
export function toastError(error) {
  if (!(error instanceof Refused && error.status === 401)) toast("bad", refusalText(error));
}

/**
 * Runs the action of a button and shows its error.
 * @template T
 * @param {() => T|Promise<T>} action
 * @returns {Promise<T|undefined>} the result, or undefined
 */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    toastError(error);
    return undefined;
  }
}
