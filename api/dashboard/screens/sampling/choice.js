// The choice of automatic samples: a set, after how many saved models, and the trigger word.

import { named, samplingApi } from "../../app/api_sampling.js";
import { t } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { fill, h } from "../../ui/dom.js";
import { field, numberInput, options, selectInput, textInput } from "../../ui/fields.js";
import { icon } from "../../ui/icons.js";
import { attempt } from "../../ui/toast.js";

const NONE = "";
const TRIGGER = "{trigger}";

/** What is rendered, in a few words. @param {string} name @param {number} every */
export const saidOf = (name, every) =>
  every === 1 ? t("auto.said", { name }) : t("auto.said.some", { name, n: every });

/** @typedef {{sample_set: string, every?: number, trigger?: string|null}} Automatic */

/**
 * @param {() => string} modelTypeOf @param {() => void} changed called after each change by the user
 */
export function samplesChoice(modelTypeOf, changed) {
  /** @type {readonly API.SampleSet[]} */
  let known = [];
  const set = selectInput([[NONE, t("auto.off")]], { id: "samples-set" });
  const every = numberInput({ id: "samples-every", min: 1, max: 10_000, step: 1, value: 1 });
  const trigger = textInput({ id: "samples-trigger", maxlength: 200, placeholder: t("optional") });
  const everyField = field(t("auto.every"), every, t("auto.every.hint"));
  const triggerField = field(t("edit.trigger"), trigger, t("auto.trigger.hint"));
  const manage = actionButton("small", null, openManager, icon("pen"), t("sets.manage.open"));
  const element = h(
    "div.stack",
    h("p.faint.small", t("auto.text")),
    h("div.form-grid", field(t("auto.set"), set), everyField, triggerField),
    h("div.choice-line", manage),
  );

  /** @param {string} chosen `name` or `name@version` */
  function draw(chosen) {
    const names = known.map(({ name }) => name);
    const isOther = chosen !== NONE && !names.includes(chosen);
    fill(
      set,
      options(
        [
          [NONE, t("auto.off")],
          ...[...names, ...(isOther ? [chosen] : [])].map((name) => /** @type {const} */ ([name, name])),
        ],
        chosen,
      ),
    );
    show();
  }

  function show() {
    const found = known.find(({ name }) => name === set.value.split("@")[0]);
    everyField.hidden = set.value === NONE;
    const uses = found?.prompts.some(({ text, negative }) => `${text} ${negative ?? ""}`.includes(TRIGGER));
    triggerField.hidden = set.value === NONE || !(uses || trigger.value);
  }

  async function refetch() {
    known = named((await samplingApi.sets()).sample_sets);
    draw(set.value);
  }

  async function openManager() {
    const { manageSampleSets } = await import("./manager.js");
    const before = new Set(known.map(({ name }) => name));
    await manageSampleSets(modelTypeOf());
    await refetch();
    const added = known.filter(({ name }) => !before.has(name));
    if (added.length === 1 && set.value === NONE) draw(added[0].name);
    changed();
  }

  set.addEventListener("change", show);
  attempt(refetch);
  return {
    element,
    set,
    /** @param {Automatic|null|undefined} given */
    choose(given) {
      every.value = String(given?.every ?? 1);
      trigger.value = given?.trigger ?? "";
      draw(given?.sample_set ?? NONE);
    },
    /** @returns {Automatic|null} null: none */
    get value() {
      if (set.value === NONE) return null;
      return { sample_set: set.value, every: every.valueAsNumber || 1, trigger: trigger.value.trim() || null };
    },
  };
}
