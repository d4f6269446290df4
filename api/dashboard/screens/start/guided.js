// The step-by-step form: model, dataset, preset, settings. All steps edit one request.

import { api } from "../../app/api.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { numberInput } from "../../ui/fields.js";
import { attempt } from "../../ui/toast.js";
import { watchDownloads } from "../models/downloads.js";
import { stateOf } from "../models/state.js";
import { datasetChoice } from "./choose_dataset.js";
import { modelChoice } from "./choose_model.js";
import { presetChoice } from "./choose_preset.js";
import { keyLabel, keyOf, PLAIN, PLAIN_DATASET, requestDraft, showValue } from "./draft.js";
import { formField } from "./fields.js";
import { settingsForm } from "./settings_form.js";

/** @typedef {import("./draft.js").Table} Table */

/**
 * @param {() => void} changed
 * @param {(env: Record<string, string>) => void} takeEnv called with the environment variables of a preset
 */
export function guidedForm(changed, takeEnv) {
  const draft = requestDraft(() => edited());
  const downloads = watchDownloads(() => refetch().catch(() => {}));
  const toy = toyForm();
  let type = "toy";
  /** The model to select once the models are loaded; "": the one that the user most likely wants. @type {{model: string, variant: string}|null} */
  let pending = null;
  /** @type {ReturnType<typeof settingsForm>|null} */
  let form = null;
  let described = 0;
  const model = modelChoice(downloads, draft, (found, variant) => attempt(() => pick(found, variant)));
  const dataset = datasetChoice(draft, () => edited());
  const preset = presetChoice(
    draft,
    () => model.variant,
    (chosen) => {
      if (chosen) apply(chosen);
      edited();
    },
  );
  const settings = h("div.stack");
  const said = h("span.small.soft.foreign");
  const presetStep = step("step.preset", preset.element);
  const element = h("div.steps", step("step.model", model.element), step("step.dataset", dataset.element), presetStep);
  const folded = fold("step.settings", said, toy.element, settings);

  /** Reports a change, and shows what the folded settings say. */
  function edited() {
    preset.update();
    showSaid();
    changed();
  }

  function showSaid() {
    const shown = type === "toy" ? [] : SAID.filter((path) => draft.get(path) !== undefined);
    fill(said, shown.map((path) => `${keyLabel(keyOf(path))} ${showValue(draft.get(path))}`).join(" · "));
  }

  function show() {
    const isToy = type === "toy";
    toy.element.hidden = !isToy;
    settings.hidden = isToy;
    presetStep.hidden = isToy;
  }

  /**
   * Handles the user's choice of a model; null is the toy.
   * @param {API.Model|null} found @param {API.Variant|null} variant
   */
  async function pick(found, variant) {
    pending = null;
    const isOther = type !== (found?.id ?? "toy");
    type = found?.id ?? "toy";
    const directories = draft.get(["dataset", "directories"]);
    const previous = directories ? { directories } : {};
    if (!found) draft.choose({ config: {}, dataset: plainDirectories(directories) });
    else if (isOther)
      draft.choose({
        config: { ...PLAIN, model: { ...variant?.model, dtype: "bfloat16" } },
        dataset: { ...PLAIN_DATASET, ...previous },
      });
    else if (variant) draft.choose({ config: { ...draft.config, model: withVariant(found, variant) } });
    show();
    await describe();
    // Another model was chosen in the meantime: the preset does not apply.
    if (type !== (found?.id ?? "toy")) return;
    const best = found && isOther && preset.best;
    if (best) {
      preset.select(best.id);
      apply(best);
    } else if (isOther) preset.select("");
    edited();
  }

  /**
   * The table [model] with the paths of another variant.
   * @param {API.Model} found @param {API.Variant} variant @returns {Table}
   */
  function withVariant(found, variant) {
    const others = new Set(found.variants.flatMap((each) => Object.keys(each.model)));
    const now = /** @type {Table} */ (draft.config.model ?? {});
    const own = Object.entries(now).filter(([name]) => !others.has(name));
    return { ...Object.fromEntries(own), ...variant.model };
  }

  /** @param {import("./choose_preset.js").Choice} chosen */
  function apply({ settings: { config, dataset: cut }, env }) {
    const directories = draft.get(["dataset", "directories"]);
    const { directories: _asked, ...own } = cut;
    draft.choose({
      config: { ...config, model: { .../** @type {Table} */ (config.model), ...model.variant?.model } },
      dataset: { ...own, ...(directories ? { directories } : {}) },
    });
    if (env) takeEnv(env);
    update();
  }

  function update() {
    form?.update();
    model.update();
    dataset.update();
  }

  /** Fetches the settings of the chosen type and shows its keys. */
  async function describe() {
    const own = ++described;
    const requestedType = type;
    if (requestedType === "toy") {
      form = null;
      model.describe(null);
      dataset.describe(null);
      return;
    }
    const [keys] = await Promise.all([models.settings(requestedType), preset.know(requestedType)]);
    if (own !== described) return;
    form = settingsForm(keys, draft);
    fill(settings, form.element);
    model.describe(keys);
    dataset.describe(keys);
  }

  async function refetch() {
    const [{ models: found }] = await Promise.all([api.models(), downloads.refetch()]);
    model.know(found);
    const wanted = pending;
    if (!wanted) return;
    const id = wanted.model || (await likely(found));
    // Another model was chosen in the meantime.
    if (pending !== wanted) return;
    pending = null;
    if (id === type) return;
    model.select(id, wanted.variant || undefined);
    await pick(model.model, model.variant);
  }

  /** @param {readonly API.Model[]} found */
  async function likely(found) {
    if (!found.some((each) => stateOf(each) === "ready")) return "toy";
    return (await import("./initial.js")).likelyModel(found);
  }

  show();
  return {
    element,
    /** All settings, folded. */
    settings: folded,
    refetch,
    get type() {
      return type;
    },
    /** The reference of the only named dataset, or null. */
    get reference() {
      return dataset.reference;
    },
    get draft() {
      return draft;
    },
    /** The id of the chosen preset; "": custom settings. */
    get preset() {
      return preset.id;
    },
    /** The part of the request. @param {API.Request} base @returns {API.Request} */
    request(base) {
      const isEmpty = !Object.keys(draft.dataset).length;
      if (type !== "toy") return { model_type: type, config: draft.config, dataset: draft.dataset };
      const { dataset: _dataset, dataset_toml: text } = base;
      const data = isEmpty ? (text ? { dataset_toml: text } : {}) : { dataset: draft.dataset };
      return { ...data, model_type: "toy", config: toy.config() };
    },
    /** Shows a request. @param {API.Request} request @param {string} [presetId] that it was made from */
    async choose(request, presetId = "") {
      pending = null;
      type = request.model_type ?? "toy";
      draft.choose({ config: type === "toy" ? {} : (request.config ?? {}), dataset: request.dataset ?? {} });
      if (type === "toy") toy.choose(request.config ?? {});
      model.select(type);
      preset.select(presetId);
      show();
      dataset.update();
      await describe();
      preset.update();
      showSaid();
    },
    /** Starts with a model that was chosen elsewhere, or with the likely one (""). @param {string} id @param {string} variant */
    begin(id, variant) {
      pending = { model: id, variant };
    },
    explain: dataset.explain,
    /** @param {SeverityFinding[]} findings */
    show: (findings) => {
      const parts = type === "toy" ? [toy, dataset] : [model, dataset, ...(form ? [form] : [])];
      return parts.flatMap((part) => part.show(findings));
    },
    close() {
      model.close();
      dataset.close();
      preset.close();
      downloads.close();
    },
  };
}

/** The directories without settings that only the real trainer has. @param {unknown} directories @returns {Table} */
function plainDirectories(directories) {
  if (!Array.isArray(directories)) return {};
  const place = (/** @type {Table} */ each) =>
    Object.fromEntries(Object.entries(each).filter(([name]) => name === "path" || name === "dataset"));
  return { directories: directories.map(place) };
}

/** A step of the form; steps are numbered in order. @param {WordKey} key @param {...Child} content */
export const step = (key, ...content) =>
  h(
    "section.step",
    h("header.step-head", h("span.step-number", { "aria-hidden": "true" }), h("h2", t(key))),
    h("div.step-body", content),
  );

/** What the summary of the folded settings shows. @type {import("./draft.js").Path[]} */
const SAID = [
  ["config", "epochs"],
  ["config", "adapter", "rank"],
  ["config", "optimizer", "lr"],
  ["config", "micro_batch_size_per_gpu"],
];

/** A folded part of the form. @param {WordKey} key @param {Child} said what it says while folded @param {...Child} content */
export const fold = (key, said, ...content) =>
  h("details.fold.step-fold", h("summary", h("strong", t(key)), said), h("div.step-body", content));

const FIELDS = /** @type {const} */ ([
  { name: "epochs", value: 3, min: 1, step: 1, pointer: "/config/epochs" },
  { name: "steps_per_epoch", value: 40, min: 1, step: 1, pointer: "/config/toy/steps_per_epoch", isToy: true },
  { name: "step_seconds", value: 0.1, min: 0, pointer: "/config/toy/step_seconds", isToy: true },
  { name: "eval_every_n_epochs", value: 1, min: 1, step: 1, pointer: "/config/eval_every_n_epochs" },
  { name: "log_lines_per_step", value: "", min: 0, step: 1, pointer: "/config/toy/log_lines_per_step", isToy: true },
  { name: "fail_at_step", value: "", min: 0, step: 1, pointer: "/config/toy/fail_at_step", isToy: true },
]);

function toyForm() {
  const fields = FIELDS.map((field) => ({
    name: field.name,
    isToy: "isToy" in field,
    form: formField({
      name: field.name,
      label: t(`toy.${field.name}`),
      pointers: [field.pointer],
      input: numberInput({ min: field.min, step: "step" in field ? field.step : "any", value: field.value }),
    }),
  }));
  const element = h(
    "div.form-grid",
    h("p.soft.small.wide", t("toy.text")),
    fields.map(({ form }) => form.element),
  );
  /** The initial settings, including those without a field. @type {API.ToyConfig} */
  let base = {};
  return {
    element,
    config() {
      /** @type {Record<string, unknown>} */
      const own = { ...base.toy };
      /** @type {API.ToyConfig} */
      const config = { ...base, toy: own };
      for (const { name, isToy, form } of fields) {
        const table = isToy ? own : config;
        if (form.input.value === "") delete table[name];
        else table[name] = form.input.valueAsNumber;
      }
      return config;
    },
    /** @param {API.ToyConfig} config */
    choose(config) {
      base = config;
      for (const { name, isToy, form } of fields)
        form.input.value = String((isToy ? config.toy?.[name] : config[name]) ?? "");
    },
    /** @param {SeverityFinding[]} findings */
    show: (findings) => fields.flatMap(({ form }) => form.show(findings)),
  };
}
