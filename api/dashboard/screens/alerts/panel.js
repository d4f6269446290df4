// The panel of the bell: active alerts and their actions.

import { whyNot } from "../../app/access.js";
import { t } from "../../app/i18n.js";
import { fill, h, reconcile } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { empty } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { toast } from "../../ui/toast.js";
import { alertCard } from "./card.js";
import { canNotify, notifies, switchOff, switchOn } from "./notify.js";
import { bySeverity, firing } from "./state.js";

/** Update interval of durations. */
const TICK_MS = 30_000;

/**
 * Opens it below the bell. Returns a function that closes it.
 * @param {HTMLElement} button @param {() => void} closed
 */
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
    reconcile(list, cards, bySeverity(what?.alerts ?? []), ({ alert_id: id }) => id, alertCard);
    // The alert was removed from the list: keep the focus in the panel.
    if (hadFocus && !panel.contains(document.activeElement)) panel.focus();
    fill(
      foot,
      what && others(what),
      h("a", { class: "grow-end", href: "#/alerts", on: { click: close } }, t("alerts.all")),
    );
  }

  function leave(/** @type {Event} */ { target }) {
    if (!(target instanceof Element)) return;
    // Menus and dialogs opened from here are elsewhere in the document.
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

/** The counts of other active alerts. @param {import("./state.js").Firing} what */
function others({ counts }) {
  const known = /** @type {const} */ (["acknowledged", "silenced", "pending"]).filter((name) => counts[name]);
  return known.map((name) => h("span", { class: "faint" }, t(`alerts.also.${name}`, { n: count(counts[name]) })));
}

function notifySwitch() {
  const input = h("input", {
    type: "checkbox",
    role: "switch",
    class: "switch",
    id: "notify-switch",
    disabled: !canNotify,
  });
  input.addEventListener("change", async () => {
    if (!input.checked) return switchOff();
    if (await switchOn()) return;
    input.checked = false;
    toast("bad", t("notify.denied"));
  });
  const unwatch = notifies.watch((is) => {
    input.checked = is;
  });
  return {
    element: h(
      "div",
      { class: "notify-row small" },
      input,
      h(
        "label",
        { for: input.id },
        t("notify.here"),
        h("span", { class: "faint" }, ` · ${t(canNotify ? "notify.text" : "notify.cannot")}`),
      ),
    ),
    close: () => void unwatch(),
  };
}
