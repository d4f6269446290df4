// The toy trainer's few fields: a training that needs neither a GPU nor data.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { formField, numberInput } from "./fields.js";

const FIELDS = /** @type {const} */ ([
  { name: "epochs", value: 3, min: 1, step: 1, pointer: "/config/epochs" },
  { name: "steps_per_epoch", value: 40, min: 1, step: 1, pointer: "/config/toy/steps_per_epoch", isToy: true },
  { name: "step_seconds", value: 0.1, min: 0, pointer: "/config/toy/step_seconds", isToy: true },
  { name: "eval_every_n_epochs", value: 1, min: 1, step: 1, pointer: "/config/eval_every_n_epochs" },
  { name: "log_lines_per_step", value: "", min: 0, step: 1, pointer: "/config/toy/log_lines_per_step", isToy: true },
  { name: "fail_at_step", value: "", min: 0, step: 1, pointer: "/config/toy/fail_at_step", isToy: true },
]);

export function toyForm() {
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
    "div",
    { class: "form-grid" },
    h("p", { class: "soft small wide" }, t("toy.text")),
    fields.map(({ form }) => form.element),
  );
  /** What it was begun with: settings that have no field here are kept. @type {API.ToyConfig} */
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
