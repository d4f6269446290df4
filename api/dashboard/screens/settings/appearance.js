// Settings of this browser: theme and language.

import { language, setLanguage, t } from "../../app/i18n.js";
import { chooseTheme, chosenTheme } from "../../app/theme.js";
import { h } from "../../ui/dom.js";
import { panel } from "../../ui/panel.js";
import { sections } from "../../ui/sections.js";
import { segments } from "../../ui/segments.js";

const THEMES = /** @type {const} */ (["system", "light", "dark"]);

/** @returns {import("../../app/main.js").Screen} */
export function open() {
  const theme = segments(
    t("theme"),
    THEMES.map((value) => ({ value, label: t(`theme.${value}`) })),
    chosenTheme(),
    chooseTheme,
  );
  const languages = segments(
    t("language"),
    [
      { value: "en", label: h("span", { lang: "en" }, "English") },
      { value: "zh", label: h("span", { lang: "zh-CN" }, "中文") },
    ],
    language,
    setLanguage,
  );
  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.settings")), sections("settings", "#/settings/appearance")),
      panel("", t("settings.appearance"), null, h("div.body.stack", choice(theme), choice(languages))),
    ),
    title: () => t("settings.appearance"),
    topics: "gpu,system",
    on: {},
    refetch: async () => {},
    close() {
      // Nothing to release.
    },
  };
}

/** @param {{element: HTMLElement}} control */
const choice = ({ element }) => h("div.field", h("span.label", element.getAttribute("aria-label")), h("div", element));
