// Dialogs. The browser keeps the focus inside, and Esc closes.

import { t } from "../app/i18n.js";
import { h } from "./dom.js";

/**
 * Opens a dialog with this content and removes it when closed. With `isSticky` only its buttons close it, except for a
 * form in which nothing was entered.
 * @param {string} label
 * @param {(close: () => void) => Node} build
 */
export function openDialog(label, build, className = "", isSticky = false) {
  const dialog = h("dialog", { "aria-label": label, class: className, data: isSticky ? { sticky: "" } : {} });
  const close = () => dialog.close();
  dialog.append(build(close));
  let isSafe = !isSticky || dialog.querySelector("form") !== null;
  dialog.addEventListener("input", () => {
    isSafe = !isSticky;
  });
  dialog.addEventListener("close", () => dialog.remove());
  // A click outside closes it, too, except for the second click of the double click that opened it.
  dialog.addEventListener("click", (event) => event.target === dialog && event.detail < 2 && isSafe && close());
  dialog.addEventListener("cancel", (event) => isSafe || event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks a question; resolves to the value of the choice, or null.
 * @param {{title: string, text?: Child, choices: {label: string, value: string, kind?: string}[], back?: string}} question `back` is the label of the cancel button
 * @returns {Promise<string|null>}
 */
export function askWhich({ title, text, choices, back = t("cancel") }) {
  return new Promise((resolve) => {
    /** @type {string|null} */
    let chosen = null;
    const dialog = openDialog(title, (close) => {
      const choose = (/** @type {string} */ value) => {
        chosen = value;
        close();
      };
      const buttons = choices.map(({ label, value, kind }) =>
        h("button", { class: `button ${kind ?? ""}`, on: { click: () => choose(value) } }, label),
      );
      return h(
        "div.inside",
        h("h2", title),
        text && h("div.soft", text),
        h("div.choices", h("button.button", { autofocus: true, on: { click: close } }, back), buttons),
      );
    });
    dialog.addEventListener("close", () => resolve(chosen));
  });
}

/**
 * Asks for confirmation.
 * @param {{title: string, text: Child, action: string, kind?: string, back?: string}} question `action` is the label of the button
 */
export const askSure = async ({ action, kind = "danger sure", ...question }) =>
  (await askWhich({ ...question, choices: [{ label: action, value: "yes", kind }] })) !== null;
