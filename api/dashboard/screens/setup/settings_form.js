// A form of some settings that can be changed without a restart.

import { whyNot } from "../../app/access.js";
import { Refused } from "../../app/api.js";
import { setup } from "../../app/api_setup.js";
import { refusalText } from "../../app/error_text.js";
import { errorText, labelFor, t } from "../../app/i18n.js";
import { actionButton, setDenied } from "../../ui/buttons.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";
import { normal, settingInput } from "./setting_input.js";

let forms = 0;

/**
 * @param {readonly API.RunTimeSetting[]} settings @param {() => unknown} saved called after a change
 * @param {Record<string, API.RunTimeValue>} [suggestions] values for settings without one
 */
export function settingsForm(settings, saved, suggestions = {}) {
  forms += 1;
  const fields = settings.map((setting) => field(setting, `setup-${forms}-${setting.key}`, suggestions, reset));
  const problem = h("div", { role: "alert" });
  const denied = whyNot("system:write");
  const button = h("button.button.primary.small", { type: "submit" }, icon("save"), t("save"));
  setDenied(button, denied);

  /** @param {string} key */
  async function reset(key) {
    await change({ [key]: null });
  }

  /** @param {Record<string, API.RunTimeValue>} values */
  async function change(values) {
    await setup.change(values);
    toast("ok", t("setup.saved"));
    await saved();
  }

  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (denied) return toast("bad", denied);
    fill(problem);
    const changed = fields.filter((each) => each.isChanged());
    if (!changed.length) return toast("ok", t("setup.unchanged"));
    button.disabled = true;
    try {
      await change(Object.fromEntries(changed.map((each) => [each.key, each.value()])));
    } catch (error) {
      const rest = fields.map((each) => each.show(error)).some(Boolean) ? null : refusalText(error);
      fill(problem, rest && note("bad", h("p.foreign", rest)));
    } finally {
      button.disabled = false;
    }
  };
  const canSave = settings.some(({ fixed_by: fixedBy }) => fixedBy === null);
  return h(
    "form.stack.settings-form",
    { novalidate: true, on: { submit } },
    fields.map(({ element }) => element),
    problem,
    canSave && h("div", button),
  );
}

/** Where the value comes from. @param {API.RunTimeSetting} setting @param {API.RunTimeValue} [suggestion] */
function aboutText({ fixed_by: fixedBy, source, value }, suggestion) {
  if (fixedBy) return t("setup.fixed", { name: fixedBy });
  if (normal(value) !== null) return t(`setup.source.${source}`);
  return suggestion ? t("setup.suggested") : null;
}

/**
 * @param {API.RunTimeSetting} setting @param {string} id @param {Record<string, API.RunTimeValue>} suggestions
 * @param {(key: string) => Promise<void>} reset
 */
function field(setting, id, suggestions, reset) {
  const { key, fixed_by: fixedBy, source, problem } = setting;
  const editor = settingInput(setting, id, suggestions[key]);
  const mistake = h("p.finding-text.small", { role: "alert", hidden: true });
  const denied = whyNot("system:write");
  const element = h(
    "div.field",
    h("label", { for: id }, labelFor("option", key), " ", h("code.faint.tiny", key)),
    editor.element,
    h(
      "p.faint.tiny.setting-about",
      { id: `${id}-about` },
      aboutText(setting, suggestions[key]),
      source === "database" &&
        !fixedBy &&
        actionButton("small", denied, () => attempt(() => reset(key)), t("setup.reset")),
    ),
    problem && note("warn", h("p.foreign", t("setup.problem", { problem }))),
    mistake,
  );
  return {
    key,
    element,
    value: editor.value,
    isChanged: editor.isChanged,
    /** Shows the error of this setting; returns whether there is one. @param {unknown} error */
    show(error) {
      const found = error instanceof Refused ? error.errors.find(({ pointer }) => pointer === `/values/${key}`) : null;
      mistake.hidden = !found;
      fill(mistake, found && errorText("", `${labelFor("option", key)} ${found.message}.`, []));
      return Boolean(found);
    },
  };
}
