// Actions on a download or push: pause, resume, and cancel after confirmation.

import { whyNot } from "../../app/access.js";
import { Refused, Unreachable } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { askSure } from "../../ui/dialog.js";
import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { toast, toastError } from "../../ui/toast.js";

/** @typedef {import("./transfer.js").TransferAction} TransferAction */

/** Why the action was too late, by error code. @type {Record<string, WordKey>} */
const TOO_LATE = {
  task_finished: "download.ended",
  conflict: "download.no_more",
  task_active: "download.goes_on",
};

/** Reports an action that failed. @param {unknown} error @param {TransferAction} action @param {string} name */
export function reportFailure(error, action, name) {
  const isCancel = action === "cancel";
  if (error instanceof Unreachable && isCancel) return toast("bad", t("download.cancel.unsure", { name }));
  const code = error instanceof Refused ? error.code : "";
  if (isCancel && code === "task_finished") return reportEnded(name);
  const known = TOO_LATE[code];
  return known ? toast("bad", t(known, { name })) : toastError(error);
}

/** Reports that the transfer had already ended. @param {string} name */
export const reportEnded = (name) => toast("bad", t("download.cancel.late", { name }));

/** @param {string} name @param {{title: WordKey, text: WordKey, sure: WordKey, keep: WordKey}} words */
async function isSure(name, { title, text, sure, keep }) {
  return askSure({
    title: t(title),
    text: [h("p", h("strong.foreign", name)), h("p", t(text))],
    action: t(sure),
    kind: "danger",
    back: t(keep),
  });
}

/**
 * The buttons of a transfer. The elements stay the same, so that the keyboard focus stays.
 * @template {import("./transfer.js").Transfer} T
 * @param {import("./transfer.js").TransferKind<T>} kind
 * @param {(one: T, action: TransferAction) => Promise<void>} change
 */
export function actionButtons(kind, change) {
  /** @type {T|null} */
  let known = null;
  /** Whether a requested action is pending. */
  let isBusy = false;
  /** @type {TransferAction} */
  let next = "pause";
  const denied = () => whyNot("models:write", known?.owner);

  /** @param {() => TransferAction} action */
  function button(action, className = "") {
    // The second click of a double click would hit the new action.
    const click = (/** @type {MouseEvent} */ event) => event.detail < 2 && press(action());
    const [sign, label] = [h("span.button-sign"), h("span")];
    const element = h("button", { class: `button small ${className}`, type: "button", on: { click } }, sign, label);
    let shown = "";
    return {
      element,
      /** @param {import("../../ui/icons.js").IconName} wanted */
      show(wanted) {
        const why = denied();
        const words = t(`download.${action()}`);
        if (shown !== wanted) fill(sign, icon(wanted));
        shown = wanted;
        setText(label, words);
        setAttribute(element, "aria-label", `${words} ${known ? kind.nameOf(known) : ""}`);
        setAttribute(element, "title", why);
        setAttribute(element, "aria-disabled", why || isBusy ? "true" : null);
      },
    };
  }
  const [other, cancel] = [button(() => next), button(() => "cancel", "danger")];
  const element = h("div.choices", other.element, cancel.element);

  /** @param {TransferAction} action */
  async function press(action) {
    const why = denied();
    const one = known;
    if (why) return toast("bad", why);
    if (!one || isBusy) return;
    if (action !== "cancel" || (await isSure(kind.nameOf(one), kind.question))) await change(one, action);
  }

  return {
    element,
    /** @param {T} now @param {"active"|"paused"|"over"} state @param {boolean} isAsked */
    update(now, state, isAsked) {
      known = now;
      isBusy = isAsked;
      if (state !== "over") next = state === "active" ? "pause" : "resume";
      other.show(next === "pause" ? "pause" : "resume");
      cancel.show("close");
      element.hidden = state === "over";
    },
  };
}
