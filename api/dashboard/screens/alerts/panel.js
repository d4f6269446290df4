// What the bell opens: what fires now, and what can be done about it at once.

import { whyNot } from "../../app/access.js";
import { t } from "../../app/i18n.js";
import { fill, h, reconcile } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { empty } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { alertCard } from "./card.js";
import { notifySwitch } from "./notify_switch.js";
import { byWeight, firing } from "./state.js";

/** How long it goes on already is told anew so often. */
const TICK_MS = 30_000;

/** Opens it below the bell; gives what closes it. @param {HTMLElement} button @param {() => void} closed */
export function openPanel(button, closed) {
  const list = h("div", { class: "alert-list" });
  const [state, foot] = [h("div"), h("div", { class: "alert-panel-foot small" })];
  /** @type {Map<string, ReturnType<typeof alertCard>>} */
  const cards = new Map();
  const notify = notifySwitch();
  const denied = whyNot("alerts:write");
  const panel = h(
    "div",
    { class: "alert-panel", role: "dialog", "aria-label": t("alerts.now"), tabindex: -1 },
    h("div", { class: "alert-panel-head" }, h("h2", {}, t("alerts.now")), closeButton(close)),
    h("div", { class: "alert-panel-body" }, denied && note("idle", h("p", {}, denied)), state, list),
    notify.element,
    foot,
  );

  /** @param {import("./state.js").Firing|null} what */
  function show(what) {
    fill(
      state,
      !what ? note("warn", h("p", {}, t("bell.unknown"))) : !what.alerts.length && empty("check", t("alerts.none")),
    );
    const hadFocus = panel.contains(document.activeElement);
    reconcile(list, cards, byWeight(what?.alerts ?? []), ({ alert_id: id }) => id, alertCard);
    // What was done is gone from the list, and the keyboard stays in it.
    if (hadFocus && !panel.contains(document.activeElement)) panel.focus();
    fill(
      foot,
      what && others(what),
      h("a", { class: "grow-end", href: "#/alerts", on: { click: close } }, t("alerts.all")),
    );
  }

  function leave(/** @type {Event} */ { target }) {
    if (!(target instanceof Element)) return;
    // Menus and dialogs that were opened from here stand elsewhere in the document.
    if (target.closest(".menu, dialog, .toasts") || panel.contains(target) || button.contains(target)) return;
    close();
  }

  function press(/** @type {KeyboardEvent} */ event) {
    if (event.key !== "Escape" || document.querySelector("dialog[open], .menu")) return;
    close();
    button.focus();
    event.stopPropagation();
  }

  function close() {
    unwatch();
    clearInterval(ticking);
    notify.close();
    document.removeEventListener("keydown", press, true);
    document.removeEventListener("pointerdown", leave, true);
    removeEventListener("hashchange", close);
    panel.remove();
    closed();
  }

  document.addEventListener("keydown", press, true);
  document.addEventListener("pointerdown", leave, true);
  addEventListener("hashchange", close);
  button.after(panel);
  const unwatch = firing.watch(show);
  const ticking = setInterval(() => show(firing.value), TICK_MS);
  panel.focus();
  return close;
}

/** @param {() => void} close */
const closeButton = (close) =>
  h("button", { class: "icon-button small", "aria-label": t("close"), on: { click: close } }, icon("close"));

/** What is open besides. @param {import("./state.js").Firing} what */
function others({ counts }) {
  const known = /** @type {const} */ (["acknowledged", "silenced", "pending"]).filter((name) => counts[name]);
  return known.map((name) => h("span", { class: "faint" }, t(`alerts.also.${name}`, { n: count(counts[name]) })));
}
