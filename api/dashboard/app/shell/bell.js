// The bell: number and highest severity of active alerts.

import { countChip } from "../../screens/alerts/severity.js";
import { canSeeAlerts, firing, loudOf, refetchFiring } from "../../screens/alerts/state.js";
import { h, setAttribute, setText } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { attempt } from "../../ui/toast.js";
import { access } from "../access.js";
import { labelFor, t } from "../i18n.js";
import { loadAlertStyle } from "./style.js";

/** Poll interval on screens with their own stream, which carries no alerts. */
const ASK_MS = 10_000;

/** @param {import("../main.js").App} app */
export function bell(app) {
  const chip = countChip();
  const news = h("span", { class: "visually-hidden", role: "status" });
  const button = h(
    "button",
    { class: "bell", "aria-haspopup": "dialog", "aria-expanded": "false", on: { click: () => attempt(toggle) } },
    icon("bell"),
    chip.element,
  );
  /** @type {(() => void)|null} */
  let close = null;

  async function toggle() {
    if (close) return close();
    const [{ openPanel }] = await Promise.all([import("../../screens/alerts/panel.js"), loadAlertStyle()]);
    if (close) return;
    setAttribute(button, "aria-expanded", "true");
    close = openPanel(button, () => {
      close = null;
      setAttribute(button, "aria-expanded", "false");
    });
  }

  firing.watch((what) => {
    const { count: loud, gravest: worst } = what ? loudOf(what) : { count: 0, gravest: null };
    const label = bellText(what !== null, worst, loud);
    chip.element.hidden = !worst;
    button.classList.toggle("unknown", !what);
    if (worst) chip.update(worst, count(loud));
    button.title = label;
    button.setAttribute("aria-label", label);
    // No announcement if there is no alert from the beginning.
    if (worst || news.textContent) setText(news, label);
  });
  access.watch(() => {
    button.hidden = !canSeeAlerts();
    if (button.hidden) close?.();
  });
  setInterval(() => !document.hidden && app.screen?.path && refetchFiring(), ASK_MS);
  return { element: h("div", { class: "bell-place" }, button, news), toggle: () => button.hidden || button.click() };
}

/** @param {boolean} isKnown @param {string|null} worst @param {number} loud */
function bellText(isKnown, worst, loud) {
  if (!isKnown) return t("bell.unknown");
  return worst ? t("bell.n", { n: count(loud), severity: labelFor("severity", worst) }) : t("bell.quiet");
}
