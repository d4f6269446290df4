// A select of model types: those of the trainers that this service has.

import { api } from "../../app/api.js";
import { fill } from "../../ui/dom.js";
import { options, selectInput } from "../../ui/fields.js";

/** The toy trainer reads neither datasets nor weights. */
const TOY = "toy";

/**
 * The types come with a request. Until then, and without an answer, the select holds `first` and what was chosen.
 * @param {object} [choice]
 * @param {readonly import("../../ui/fields.js").Option[]} [choice.first] the options before the types
 * @param {string} [choice.value] chosen at first @param {boolean} [choice.toy] whether the toy is a choice
 * @param {Properties} [choice.attributes] @param {() => void} [choice.listed] called when the types have come
 */
export function typeSelect({ first = [], value = "", toy = true, attributes = {}, listed = () => {} } = {}) {
  const input = selectInput(first, attributes);
  const has = (/** @type {string} */ name) => [...input.options].some((option) => option.value === name);
  const choose = (/** @type {string} */ name) => {
    if (name && !has(name)) input.append(...options([[name, name]]));
    input.value = name;
  };
  choose(value);
  api.overview().then(
    ({ trainers }) => {
      const chosen = input.value;
      const types = new Set(trainers.flatMap((trainer) => trainer.model_types));
      const names = [...types].filter((name) => toy || name !== TOY).sort();
      fill(input, options([...first, ...names.map((name) => /** @type {const} */ ([name, name]))]));
      choose(chosen);
      listed();
    },
    () => {},
  );
  return { input, has, choose };
}
