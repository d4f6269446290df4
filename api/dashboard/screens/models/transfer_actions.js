// What can be done with a download or a push: it pauses, goes on, or is cancelled, which is asked first.

import { whyNot } from "../../app/access.js";
import { Refused, Unreachable } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { askWhich } from "../../ui/dialog.js";
import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { toast, toastError } from "../../ui/toast.js";

/** @typedef {"pause"|"resume"|"cancel"} Deed */

/** Why another was first, by the service's code. @type {Record<string, WordKey>} */
const MEANWHILE = {
  task_finished: "download.ended",
  conflict: "download.no_more",
  task_active: "download.goes_on",
};

/** Tells what came of a deed that the service did not do. @param {unknown} error @param {Deed} deed @param {string} name */
export function tellUndone(error, deed, name) {
  const isCancel = deed === "cancel";
  if (error instanceof Unreachable && isCancel) return toast("bad", t("download.cancel.unsure", { name }));
  const code = error instanceof Refused ? error.code : "";
  if (isCancel && code === "task_finished") return tellLate(name);
  const known = MEANWHILE[code];
  return known ? toast("bad", t(known, { name })) : toastError(error);
}

/** Tells that the end came first. @param {string} name */
export const tellLate = (name) => toast("bad", t("download.cancel.late", { name }));

/** @param {string} name @param {{title: WordKey, text: WordKey, sure: WordKey, keep: WordKey}} words */
async function isSure(name, { title, text, sure, keep }) {
  const choice = await askWhich({
    title: t(title),
    text: [h("p", {}, h("strong", { class: "foreign" }, name)), h("p", {}, t(text))],
    choices: [{ label: t(sure), value: "yes", kind: "danger" }],
    back: t(keep),
  });
  return choice === "yes";
}

/**
 * The buttons of one transfer; they stay the same elements, so that the keyboard keeps its place.
 * @template {import("./transfers.js").Transfer} T
 * @param {import("./transfers.js").TransferKind<T>} kind
 * @param {(one: T, deed: Deed) => Promise<void>} change
 */
export function deedButtons(kind, change) {
  /** @type {T|null} */
  let known = null;
  /** Whether something was asked of it that has not happened yet. */
  let isBusy = false;
  /** @type {Deed} */
  let next = "pause";
  const denied = () => whyNot("models:write", known?.owner);

  /** @param {() => Deed} deed */
  function button(deed, className = "") {
    // The second click of a double click would hit what the first has put there.
    const click = (/** @type {MouseEvent} */ event) => event.detail < 2 && press(deed());
    const [sign, label] = [h("span", { class: "button-sign" }), h("span")];
    const element = h("button", { class: `button small ${className}`, type: "button", on: { click } }, sign, label);
    let shown = "";
    return {
      element,
      /** @param {import("../../ui/icons.js").IconName} wanted */
      show(wanted) {
        const why = denied();
        const words = t(`download.${deed()}`);
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
  const element = h("div", { class: "choices" }, other.element, cancel.element);

  /** @param {Deed} deed */
  async function press(deed) {
    const why = denied();
    const one = known;
    if (why) return toast("bad", why);
    if (!one || isBusy) return;
    if (deed !== "cancel" || (await isSure(kind.nameOf(one), kind.question))) await change(one, deed);
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
