// Links between the parts of a screen; each part has its own address.

import { t } from "../app/i18n.js";
import { h, setAttribute } from "./dom.js";
import { icon } from "./icons.js";

/** An address and its label. @typedef {readonly [address: string, label: WordKey]} Section */

/** The parts of the entries of the rail. @type {Record<"tasks"|"gpus"|"models"|"settings", Section[]>} */
const SECTIONS = {
  tasks: [
    ["#/trainings", "tasks"],
    ["#/sweeps", "sweeps"],
    ["#/trainings/logs", "logs.search"],
  ],
  gpus: [
    ["#/gpus", "gpus"],
    ["#/gpus/machines", "nodes"],
    ["#/gpus/events", "events"],
  ],
  models: [
    ["#/models", "models.models"],
    ["#/registry", "models.registry"],
    ["#/models/downloads", "downloads"],
  ],
  settings: [
    ["#/settings/setup", "setup"],
    ["#/settings/schedule", "schedule"],
    ["#/settings/keys", "settings.keys"],
    ["#/settings/log", "log.server"],
    ["#/settings/appearance", "settings.appearance"],
    ["#/settings/help", "settings.help"],
  ],
};

/** The way back to a list. @param {string} address @param {string} label */
export const backLink = (address, label) => h("a.soft.small.back", { href: address }, icon("left"), label);

/** @param {keyof typeof SECTIONS} name @param {string} here the address of the current part */
export const sections = (name, here) => sectionLinks(t(`nav.${name}`), SECTIONS[name], here).element;

/** @param {string} label @param {readonly Section[]} entries @param {string} here */
export function sectionLinks(label, entries, here) {
  const links = entries.map(([address, key]) => h("a", { href: address }, t(key)));
  /** @param {string} address */
  function mark(address) {
    for (const link of links) {
      setAttribute(link, "aria-current", link.getAttribute("href") === address ? "page" : null);
    }
  }
  mark(here);
  return { element: h("nav.segments.sections", { "aria-label": label }, links), links, mark };
}
