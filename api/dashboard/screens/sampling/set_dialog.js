// The form of a sample set.

import { newKey } from "../../app/api_data.js";
import { samplingApi } from "../../app/api_sampling.js";
import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { field, numberInput, selectInput, textInput } from "../../ui/fields.js";
import { askForm, MODEL_NAME } from "../../ui/form_dialog.js";

const BUILT_IN = "";

/**
 * Resolves to the saved set, or null. Prompts that stay keep their own seeds and negative prompts.
 * @param {API.SampleSet|null} set to change; null: a new one
 * @param {readonly API.WorkflowRow[]} workflows
 * @param {string} modelType whose workflows are offered first @param {readonly API.SetDefaults[]} defaults of built-in workflows
 */
export function askSampleSet(set, workflows, modelType, defaults) {
  const key = newKey();
  const name = textInput({
    id: "set-name",
    required: true,
    pattern: MODEL_NAME,
    title: t("sets.name.rule"),
    value: set?.name ?? "",
  });
  name.addEventListener("input", () =>
    name.setCustomValidity(name.validity.patternMismatch ? t("sets.name.rule") : ""),
  );
  const prompts = h("textarea.input", { id: "set-prompts", rows: 6, required: true, maxlength: 100_000 });
  prompts.value = (set?.prompts ?? []).map(({ text }) => text).join("\n");
  const negative = textInput({ id: "set-negative", maxlength: 10_000, value: set?.prompts[0]?.negative ?? "" });
  const number = (
    /** @type {string} */ id,
    /** @type {number} */ min,
    /** @type {number} */ max,
    /** @type {number|null|undefined} */ value,
  ) => numberInput({ id: `set-${id}`, step: 1, min, max, value: value ?? "" });
  const seed = number("seed", 0, Number.MAX_SAFE_INTEGER, set?.seed ?? 1);
  seed.required = true;
  const [width, height] = [number("width", 16, 8192, set?.width), number("height", 16, 8192, set?.height)];
  const [frames, steps] = [number("frames", 1, 1000, set?.frames), number("steps", 1, 1000, set?.steps)];
  const strength = numberInput({ id: "set-strength", min: -10, max: 10, required: true, value: set?.strength ?? 1 });
  const own = [...workflows].sort((a, b) => Number(b.model_type === modelType) - Number(a.model_type === modelType));
  const builtIn = defaults.find((each) => each.model_type === modelType);
  // Without a built-in workflow, a new set could not be rendered.
  const offered = builtIn ? undefined : own.find((each) => each.model_type === modelType);
  const workflow = selectInput(
    [
      [BUILT_IN, t("sets.workflow.builtin")],
      ...own.map((each) => /** @type {const} */ ([each.workflow_id, `${each.name} (${each.model_type})`])),
    ],
    { id: "set-workflow" },
    set ? (set.workflow ?? BUILT_IN) : (offered?.workflow_id ?? BUILT_IN),
  );
  const hint = () => {
    const known = workflow.value === BUILT_IN ? builtIn : undefined;
    for (const [input, value] of /** @type {const} */ ([
      [width, known?.width],
      [height, known?.height],
      [frames, known?.frames],
      [steps, known?.steps],
    ]))
      input.placeholder = String(value ?? "");
  };
  hint();
  const shared = h("input", { id: "set-shared", type: "checkbox", checked: set?.shared ?? false });
  const value = (/** @type {HTMLInputElement} */ input) => (input.value === "" ? null : Number(input.value));
  const known = new Map((set?.prompts ?? []).map((each) => [each.text, each]));
  const isSame = () => negative.value === (set?.prompts[0]?.negative ?? "");

  const body = () => ({
    name: name.value,
    prompts: prompts.value
      .split("\n")
      .map((text) => text.trim())
      .filter(Boolean)
      .map((text) => ({
        text,
        negative: isSame() && known.has(text) ? known.get(text)?.negative : negative.value.trim() || null,
        seed: known.get(text)?.seed ?? null,
      })),
    seed: value(seed),
    workflow: workflow.value || null,
    width: value(width),
    height: value(height),
    frames: value(frames),
    steps: value(steps),
    strength: Number(strength.value),
    shared: shared.checked,
  });

  return askForm({
    title: set ? t("sets.edit.title", { name: set.name }) : t("sets.new"),
    content: [
      field(t("name"), name, t("sets.name.hint")),
      field(t("grid.prompts"), prompts, t("sets.prompts.hint")),
      field(t("grid.negative"), negative),
      field(t("sets.workflow"), workflow),
      h(
        "div.two",
        field(t("grid.seed.label"), seed),
        field(t("sets.strength"), strength),
        field(t("grid.width"), width),
        field(t("grid.height"), height),
        field(t("sets.steps"), steps),
        field(t("sets.frames"), frames),
      ),
      h("p.faint.tiny", t("sets.empty.hint")),
      h("label.check", shared, t("preset.share")),
    ],
    action: t("save"),
    changed: hint,
    run: () => (set ? samplingApi.changeSet(set, body()) : samplingApi.saveSet(body(), key)),
    isSticky: true,
  });
}
