// The top bar: navigation, state of the connection, language and theme.

import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { language, switchLanguage, t } from "../i18n.js";
import { recall, remember } from "../settings.js";
import { connection } from "../stream.js";
import { bell } from "./bell.js";
import { openHelp } from "./help.js";
import { userMenu } from "./user_menu.js";

/** @typedef {import("../router.js").Place["name"]} ScreenName */

const ENTRIES = /** @type {const} */ ([
  { name: "machine", address: "#/", icon: "gpu", also: ["gpu", "nodes"] },
  { name: "tasks", address: "#/tasks", icon: "list", also: ["task"] },
  { name: "data", address: "#/data", icon: "stack", also: ["dataset"] },
  { name: "models", address: "#/models", icon: "cube", also: ["registry", "registered"] },
  { name: "start", address: "#/start", icon: "plus", also: [] },
]);

/** @param {import("../main.js").App} app */
export function bar(app) {
  const links = ENTRIES.map((entry) =>
    h(
      "a",
      { href: entry.address, "aria-label": t(`nav.${entry.name}`) },
      icon(entry.icon),
      h("span", { class: "only-wide" }, t(`nav.${entry.name}`)),
    ),
  );
  const alerts = bell(app);
  const theme = h("button", { class: "icon-button", on: { click: switchTheme } });
  const caption = language === "zh" ? "EN" : "中文";
  const element = h(
    "header",
    { class: "bar" },
    h(
      "a",
      { class: "brand", href: "#/", "aria-label": "Diffusion-Pipe" },
      h("img", { src: iconURL(), alt: "" }),
      h("span", {}, "Diffusion-Pipe"),
    ),
    h("nav", { class: "nav", "aria-label": t("nav") }, links),
    h(
      "div",
      { class: "bar-end" },
      connectionSign(app),
      alerts.element,
      userMenu(app),
      h(
        "button",
        {
          class: "text-button",
          lang: language === "zh" ? "en" : "zh-CN",
          title: t("language"),
          on: { click: switchLanguage },
        },
        caption,
      ),
      theme,
      h(
        "button",
        {
          class: "icon-button only-wide",
          title: `${t("keys")} (?)`,
          "aria-label": t("keys"),
          on: { click: () => openHelp() },
        },
        icon("help"),
      ),
    ),
  );
  showTheme(theme);
  function switchTheme() {
    const chosen = document.documentElement.dataset.theme === "light" ? "dark" : "light";
    remember("theme", chosen);
    applyTheme(chosen, theme);
  }
  const light = matchMedia("(prefers-color-scheme: light)");
  light.addEventListener("change", () => {
    // Printing always uses light colours, which is not a choice of the user.
    if (recall("theme", "") === "" && !matchMedia("print").matches) applyTheme(light.matches ? "light" : "dark", theme);
  });
  return {
    element,
    openBell: alerts.toggle,
    /** @param {ScreenName} name */
    mark(name) {
      for (const [i, { name: own, also }] of ENTRIES.entries()) {
        const isHere = own === name || also.some((each) => each === name);
        setAttribute(links[i], "aria-current", isHere ? "page" : null);
      }
    },
  };
}

const iconURL = () => /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]")).href;

/**
 * @param {"light"|"dark"} colours
 * @param {HTMLElement} button
 */
function applyTheme(colours, button) {
  document.documentElement.dataset.theme = colours;
  showTheme(button);
  dispatchEvent(new Event("themechange"));
}

/** @param {HTMLElement} button */
function showTheme(button) {
  const other = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  fill(button, icon(other === "light" ? "sun" : "moon"));
  button.title = t(`theme.${other}`);
  button.setAttribute("aria-label", t(`theme.${other}`));
}

/** @param {import("../main.js").App} app */
function connectionSign(app) {
  const caption = h("span", { class: "words" });
  const element = h(
    "span",
    { class: "connection", role: "status", "aria-live": "polite" },
    h("span", { class: "dot" }),
    caption,
  );
  connection.watch(({ state }) => {
    setAttribute(element, "data-state", state);
    setText(caption, t(`connection.${state}`));
    element.title = t(`connection.${state}.title`);
  });
  element.addEventListener("click", () => app.stream.retry());
  return element;
}
