// The form that renders samples.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { field, numberInput, selectInput } from "../../ui/fields.js";
import { askForm } from "../../ui/form_dialog.js";

const ALL = "";
const OWN = "";
const BUILT_IN = "";
const MOST_MODELS = 50;

/**
 * Resolves to the task that renders, or null.
 * @param {readonly string[]} saved names of the saved models, oldest first @param {readonly string[]} texts of prompts
 * @param {(request: API.SamplingRequest) => Promise<API.Task>} run
 * @param {{sets?: readonly API.SampleSet[], checkpoints?: readonly string[], workflows?: readonly API.WorkflowRow[], hasBuiltIn?: boolean}} [more]
 * of checkpoints, LoRAs are made first; workflows are those of the training's model type
 */
export function askSamples(saved, texts, run, { sets = [], checkpoints = [], workflows = [], hasBuiltIn = true } = {}) {
  const prompts = h("textarea.input", { id: "sample-prompts", rows: 5, required: true, maxlength: 100_000 });
  prompts.value = [...texts].reverse().join("\n");
  const negative = h("input.input", { id: "sample-negative", maxlength: 10_000 });
  const whole = (/** @type {string} */ id, /** @type {number} */ min, /** @type {number} */ max) =>
    numberInput({ id: `sample-${id}`, step: 1, min, max });
  const [seed, width, height] = [
    whole("seed", 0, Number.MAX_SAFE_INTEGER),
    whole("width", 16, 8192),
    whole("height", 16, 8192),
  ];
  seed.value = "1";
  const names = [...saved].reverse();
  const models = selectInput(
    [
      ...names.map((name) => /** @type {const} */ ([name, name])),
      ...checkpoints.map((name) => /** @type {const} */ ([name, t("grid.checkpoint", { name })])),
      ...(names.length ? [/** @type {const} */ ([ALL, t("grid.all")])] : []),
    ],
    { id: "sample-model" },
    names[0] ?? checkpoints[0],
  );
  const set = selectInput([[OWN, t("grid.set.own")], ...sets.map(({ name }) => /** @type {const} */ ([name, name]))], {
    id: "sample-set",
  });
  const trigger = h("input.input", { id: "sample-trigger", maxlength: 200 });
  const registered = selectInput(
    [
      [BUILT_IN, t("sets.workflow.builtin")],
      ...workflows.map((each) => /** @type {const} */ ([each.workflow_id, each.name])),
    ],
    { id: "sample-registered" },
    hasBuiltIn ? BUILT_IN : (workflows[0]?.workflow_id ?? BUILT_IN),
  );
  const workflow = h("input.file-input", { id: "sample-workflow", type: "file", accept: ".json,application/json" });
  const number = (/** @type {HTMLInputElement} */ input) => (input.value === "" ? null : Number(input.value));
  /** @returns {Promise<API.SamplingRequest>} */
  const request = async () => {
    const file = workflow.files?.[0];
    const checkpoints = models.value === ALL ? saved.slice(-MOST_MODELS) : [models.value];
    const common = { checkpoints, trigger: trigger.value.trim() || null };
    if (set.value !== OWN) return { ...common, sample_set: set.value };
    return {
      ...common,
      sample_set: {
        prompts: prompts.value
          .split("\n")
          .map((text) => text.trim())
          .filter(Boolean)
          .map((text) => ({ text, negative: negative.value.trim() || null })),
        seed: number(seed),
        width: number(width),
        height: number(height),
        frames: null,
        steps: null,
        strength: 1,
        workflow: file ? JSON.parse(await file.text()) : registered.value || null,
      },
    };
  };
  const own = h(
    "div.stack",
    field(t("grid.prompts"), prompts, t("grid.prompts.hint")),
    field(t("grid.negative"), negative),
    h(
      "div.two",
      field(t("grid.seed.label"), seed, t("grid.seed.hint")),
      field(t("grid.width"), width),
      field(t("grid.height"), height),
    ),
    workflows.length > 0 && field(t("sets.workflow"), registered),
    field(t("grid.workflow"), workflow, t(workflows.length ? "grid.workflow.file.hint" : "grid.workflow.hint")),
  );
  const word = field(t("edit.trigger"), trigger, t("auto.trigger.hint"));
  const show = () => {
    own.hidden = set.value !== OWN;
    prompts.required = set.value === OWN;
    const chosen = sets.find(({ name }) => name === set.value)?.prompts.map(({ text }) => text) ?? [prompts.value];
    word.hidden = !chosen.some((text) => text.includes("{trigger}"));
  };
  show();
  return askForm({
    title: t("grid.ask"),
    content: [field(t("grid.model"), models), sets.length > 0 && field(t("auto.set"), set), own, word],
    action: t("grid.start"),
    changed: show,
    run: async () => run(await request()),
  });
}
