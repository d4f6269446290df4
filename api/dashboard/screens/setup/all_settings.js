// Every setting that can be changed without a restart, in groups.

import { has } from "../../app/access.js";
import { setup } from "../../app/api_setup.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { panel } from "../../ui/panel.js";
import { settingsForm } from "./settings_form.js";

/** Groups by the beginnings of keys. @type {[name: "trainer"|"folders"|"captions"|"messages"|"trainings", pattern: RegExp][]} */
const GROUPS = [
  ["trainer", /^DIFFUSION_PIPE_/],
  ["folders", /_DIRECTORIES$/],
  ["captions", /^CAPTION_/],
  ["messages", /_URL$/],
  ["trainings", /^(MAX_|STOP_|HANG_)/],
];

/** @param {() => unknown} changed called after a change */
export function allSettings(changed) {
  const body = h("div.settings-groups");
  const element = panel(
    "all-settings-panel",
    t("setup.settings"),
    h("p.faint.small.tools", t("setup.settings.text")),
    body,
  );
  element.hidden = true;
  let shown = "";

  async function refetch() {
    element.hidden = !has("system:read");
    if (element.hidden) return;
    const { settings } = await setup.settings();
    const now = JSON.stringify(settings);
    if (now === shown) return;
    shown = now;
    const groups = GROUPS.map(([name, pattern]) => ({ name, own: settings.filter(({ key }) => pattern.test(key)) }));
    const rest = settings.filter((each) => !groups.some(({ own }) => own.includes(each)));
    fill(
      body,
      [...groups, { name: /** @type {const} */ ("other"), own: rest }].map(
        ({ name, own }) =>
          own.length > 0 && h("section.body", h("h3", t(`setup.group.${name}`)), settingsForm(own, saved)),
      ),
    );
  }

  async function saved() {
    shown = "";
    await refetch();
    await changed();
  }

  return { element, refetch };
}
