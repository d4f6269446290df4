// Buttons of actions that the user may not be allowed.

import { h, setAttribute } from "./dom.js";
import { attempt, toast } from "./toast.js";

/**
 * Shows whether an action is allowed. The button stays focusable, so that its tooltip can say why not.
 * @param {Element} button @param {string|null|undefined} why it is not allowed
 */
export function setDenied(button, why) {
  setAttribute(button, "aria-disabled", why ? "true" : null);
  setAttribute(button, "title", why);
}

/**
 * The action, or a message while it is not allowed.
 * @param {string|null|undefined} denied @param {() => unknown} run
 */
export const guarded = (denied, run) => () => (denied ? toast("bad", denied) : void attempt(run));

/**
 * A button that runs an action and shows its error; if denied, a click shows why.
 * @param {string} className @param {string|null} denied @param {() => unknown} run @param {...Child} content
 */
export function actionButton(className, denied, run, ...content) {
  const click = guarded(denied, run);
  const button = h("button", { class: `button ${className}`, type: "button", on: { click } }, content);
  setDenied(button, denied);
  return button;
}
