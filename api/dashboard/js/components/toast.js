// Short news in a corner; read out politely.

import { Unreachable } from "../api.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";

const SHOWN_MS = { ok: 4000, bad: 12_000 };

const region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
document.body.append(region);

/** @param {"ok"|"bad"} tone */
export function toast(tone, ...content) {
  const close = () => element.remove();
  const element = h(
    "div",
    { class: "toast", data: { tone } },
    icon(tone === "ok" ? "check" : "cross"),
    h("div", { class: "grow foreign" }, content),
    h("button", { class: "icon-button small", "aria-label": t("close"), on: { click: close } }, icon("close")),
  );
  region.append(element);
  setTimeout(close, SHOWN_MS[tone]);
}

/** What went wrong, in the service's words. */
export function toastError(error) {
  toast("bad", sayError(error));
}

function sayError(error) {
  if (error instanceof Unreachable) return t("error.unreachable");
  return error.errors?.length
    ? `${error.message} ${error.errors.map((each) => each.message).join(" ")}`
    : error.message;
}

/** Runs what a button does; a failure is told. @returns what it gave, or undefined */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    toastError(error);
    return undefined;
  }
}
