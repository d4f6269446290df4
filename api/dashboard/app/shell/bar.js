// The rail beside the screens, which is a bar at the bottom on phones; with the state of the connection and the language.

import { countChip } from "../../screens/alerts/severity.js";
import { canSeeAlerts, firing, loudOf, refetchFiring } from "../../screens/alerts/state.js";
import { h, setAttribute, setText } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { access } from "../access.js";
import { labelFor, language, setLanguage, t } from "../i18n.js";
import { machine } from "../machine.js";
import { connection } from "../stream.js";
import { userMenu } from "./user_menu.js";

/** @typedef {import("../router.js").Place["name"]} ScreenName */

/** `also` names the other screens of an entry. */
const ENTRIES = /** @type {const} */ ([
  { name: "home", address: "#/", icon: "home", also: [] },
  { name: "tasks", address: "#/trainings", icon: "list", also: ["task", "compare", "sweep", "sweeps", "logs"] },
  { name: "data", address: "#/datasets", icon: "stack", also: ["dataset"] },
  { name: "models", address: "#/models", icon: "cube", also: ["downloads", "registry", "registered"] },
  { name: "gpus", address: "#/gpus", icon: "gpu", also: ["gpu", "nodes", "events"] },
  { name: "alerts", address: "#/alerts", icon: "bell", also: [] },
  { name: "settings", address: "#/settings", icon: "sliders", also: [] },
]);

/** @param {import("../main.js").App} app */
export function bar(app) {
  const links = ENTRIES.map((entry) =>
    h("a", { href: entry.address, data: { name: entry.name } }, icon(entry.icon), h("span", t(`nav.${entry.name}`))),
  );
  const start = h("a.button.primary.new", { href: "#/new" }, icon("plus"), h("span", t("nav.start")));
  const [other, caption] = language === "zh" ? ["en", "English"] : ["zh", "中文"];
  const element = h(
    "header.bar",
    h(
      "a.brand",
      { href: "#/", "aria-label": "Diffusion-Pipe" },
      h("img", { src: iconURL(), alt: "" }),
      h("span", "Diffusion-Pipe"),
    ),
    start,
    h("nav.nav", { "aria-label": t("nav") }, links),
    h(
      "div.bar-end",
      simulatedChip(),
      connectionSign(app),
      userMenu(app),
      h(
        "button.text-button.language",
        { lang: other === "zh" ? "zh-CN" : "en", on: { click: () => setLanguage(other) } },
        caption,
      ),
    ),
  );
  showAlerts(app, links[ENTRIES.findIndex(({ name }) => name === "alerts")]);
  return {
    element,
    /** @param {ScreenName} name */
    mark(name) {
      for (const [i, { name: own, also }] of ENTRIES.entries()) {
        const isHere = own === name || also.some((each) => each === name);
        setAttribute(links[i], "aria-current", isHere ? "page" : null);
      }
      setAttribute(start, "aria-current", name === "start" ? "page" : null);
    },
  };
}

const iconURL = () => /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]")).href;

function simulatedChip() {
  const link = h(
    "a.simulated",
    { href: "#/gpus", title: t("simulated"), hidden: true },
    icon("flask"),
    h("span", t("simulated.short")),
  );
  machine.watch((snapshot) => {
    link.hidden = snapshot?.source !== "simulated";
  });
  return link;
}

/** @param {import("../main.js").App} app */
function connectionSign(app) {
  const caption = h("span.words");
  const element = h("span.connection", { role: "status", "aria-live": "polite" }, h("span.dot"), caption);
  connection.watch(({ state }) => {
    setAttribute(element, "data-state", state);
    setText(caption, t(`connection.${state}`));
    element.title = t(`connection.${state}.title`);
  });
  element.addEventListener("click", () => app.stream.retry());
  return element;
}

/** Poll interval on screens with their own stream, which carries no alerts. */
const ASK_MS = 10_000;

/**
 * Shows the number of active alerts in their entry of the rail.
 * @param {import("../main.js").App} app @param {HTMLElement} link
 */
function showAlerts(app, link) {
  const chip = countChip();
  const news = h("span.visually-hidden", { role: "status" });
  link.append(chip.element);
  link.after(news);
  firing.watch((what) => {
    const { count: loud, gravest: worst } = what ? loudOf(what) : { count: 0, gravest: null };
    const label = alertsText(what !== null, worst, loud);
    chip.element.hidden = !worst;
    if (worst) chip.update(worst, count(loud));
    link.title = label;
    link.setAttribute("aria-label", label);
    // No announcement if there is no alert from the beginning.
    if (worst || news.textContent) setText(news, label);
  });
  access.watch(() => {
    link.hidden = !canSeeAlerts();
  });
  setInterval(() => !document.hidden && app.screen?.path && refetchFiring(), ASK_MS);
}

/** @param {boolean} isKnown @param {string|null} worst @param {number} loud */
function alertsText(isKnown, worst, loud) {
  if (!isKnown) return t("bell.unknown");
  return worst ? t("bell.n", { n: count(loud), severity: labelFor("severity", worst) }) : t("bell.quiet");
}
