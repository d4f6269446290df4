// The theme: the user's choice, or that of the system.

import { recall, remember } from "./settings.js";

/** @typedef {"system"|"light"|"dark"} Theme */

const light = matchMedia("(prefers-color-scheme: light)");
const paper = matchMedia("print");

/** @returns {Theme} */
export function chosenTheme() {
  const chosen = recall("theme", "");
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

/** @param {Theme} theme */
export function chooseTheme(theme) {
  remember("theme", theme);
  apply();
}

/** Printing always uses light colours, including charts. */
function apply() {
  const chosen = chosenTheme();
  const isLight = paper.matches || (chosen === "system" ? light.matches : chosen === "light");
  const theme = isLight ? "light" : "dark";
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("themechange"));
}

export function followTheme() {
  light.addEventListener("change", apply);
  paper.addEventListener("change", apply);
}
