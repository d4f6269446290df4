// The bell: what fires, how much of it and how grave; quiet while nothing does.

import { countChip } from "../../screens/alerts/severity.js";
import { firing, loudOf, maySee, refetchFiring } from "../../screens/alerts/state.js";
import { h, setAttribute, setText } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { attempt } from "../../ui/toast.js";
import { access } from "../access.js";
import { t, word } from "../i18n.js";
import { learnAlertStyle } from "./style.js";

/** Screens with a stream of their own do not hear of alerts: then it is asked so often. */
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
    const [{ openPanel }] = await Promise.all([import("../../screens/alerts/panel.js"), learnAlertStyle()]);
    if (close) return;
    setAttribute(button, "aria-expanded", "true");
    close = openPanel(button, () => {
      close = null;
      setAttribute(button, "aria-expanded", "false");
    });
  }

  firing.watch((what) => {
    const { count: loud, gravest: worst } = what ? loudOf(what) : { count: 0, gravest: null };
    const words = wordsOf(what !== null, worst, loud);
    chip.element.hidden = !worst;
    button.classList.toggle("unknown", !what);
    if (worst) chip.update(worst, count(loud));
    button.title = words;
    button.setAttribute("aria-label", words);
    // What is quiet from the beginning is no news.
    if (worst || news.textContent) setText(news, words);
  });
  access.watch(() => {
    button.hidden = !maySee();
    if (button.hidden) close?.();
  });
  setInterval(() => !document.hidden && app.screen?.path && refetchFiring(), ASK_MS);
  return { element: h("div", { class: "bell-place" }, button, news), toggle: () => button.hidden || button.click() };
}

/** @param {boolean} isKnown @param {string|null} worst @param {number} loud */
function wordsOf(isKnown, worst, loud) {
  if (!isKnown) return t("bell.unknown");
  return worst ? t("bell.n", { n: count(loud), severity: word("severity", worst) }) : t("bell.quiet");
}
