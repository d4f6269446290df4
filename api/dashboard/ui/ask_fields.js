// A dialog with a few fields.

import { t } from "../app/i18n.js";
import { refusalWords } from "../app/refusal.js";
import { openDialog } from "./dialog.js";
import { fill, h } from "./dom.js";
import { note } from "./status.js";

/** Names of models, as the service takes them. */
export const MODEL_NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,99}";

/**
 * `rows` makes it a text of several lines, `options` a choice; a field of the type `checkbox` gives "yes" or "".
 * @typedef {object} Field
 * @property {string} name @property {string} label @property {string} value
 * @property {string} [hint] @property {string} [pattern] @property {boolean} [required] @property {string} [placeholder]
 * @property {number} [rows] @property {"text"|"password"|"checkbox"|"number"} [type] @property {number} [max]
 * @property {readonly [value: string, label: string][]} [options]
 */

/** @typedef {HTMLInputElement|HTMLTextAreaElement|HTMLSelectElement} Input */

/**
 * A dialog with fields; it stays until what it does has been done.
 * @param {string} title @param {readonly Field[]} wanted @param {string} action
 * @param {(values: Record<string, string>) => Promise<unknown>} run throws what was refused
 * @param {Child} [text]
 * @returns {Promise<boolean>} whether it was done
 */
export function askFields(title, wanted, action, run, text) {
  return new Promise((resolve) => {
    let isDone = false;
    const dialog = openDialog(title, (close) => {
      const inputs = wanted.map(inputOf);
      const problem = h("div", { "aria-live": "assertive" });
      const button = h("button", { class: "button primary", type: "submit" }, action);
      const submit = async (/** @type {Event} */ event) => {
        event.preventDefault();
        button.disabled = true;
        try {
          await run(Object.fromEntries(wanted.map(({ name }, i) => [name, textOf(inputs[i])])));
          isDone = true;
          close();
        } catch (error) {
          fill(problem, note("bad", h("p", { class: "foreign" }, refusalWords(error))));
        } finally {
          button.disabled = false;
        }
      };
      return h(
        "form",
        { class: "inside", on: { submit } },
        h("h2", {}, title),
        text && h("div", { class: "soft small" }, text),
        wanted.map((field, i) => rowOf(field, inputs[i])),
        problem,
        h(
          "div",
          { class: "choices" },
          h("button", { class: "button", type: "button", on: { click: close } }, t("cancel")),
          button,
        ),
      );
    });
    dialog.addEventListener("close", () => resolve(isDone));
  });
}

/** @param {Field} field @returns {Input} */
function inputOf(field) {
  const id = `ask-${field.name}`;
  const about = { id, autocomplete: "off", "aria-describedby": field.hint ? `${id}-hint` : null };
  if (field.type === "checkbox") return h("input", { ...about, type: "checkbox", checked: field.value !== "" });
  const attributes = { ...about, class: "input", required: field.required, placeholder: field.placeholder };
  if (field.options) {
    const options = field.options.map(([value, label]) =>
      h("option", { value, selected: value === field.value }, label),
    );
    return h("select", attributes, options);
  }
  const input = field.rows
    ? h("textarea", { ...attributes, rows: field.rows, maxlength: 4000 })
    : h("input", { ...attributes, type: field.type, pattern: field.pattern, ...numbers(field), maxlength: 4000 });
  input.value = field.value;
  return input;
}

/** @param {Field} field */
const numbers = ({ type, max }) => (type === "number" ? { min: 0, max, step: 1 } : {});

/** @param {Input} input */
const textOf = (input) =>
  input instanceof HTMLInputElement && input.type === "checkbox" ? (input.checked ? "yes" : "") : input.value.trim();

/** @param {Field} field @param {Input} input */
function rowOf({ name, label, hint, type }, input) {
  const told = hint && h("p", { class: "faint tiny", id: `ask-${name}-hint` }, hint);
  return type === "checkbox"
    ? h("div", { class: "field" }, h("label", { class: "check", for: input.id }, input, label), told)
    : h("div", { class: "field" }, h("label", { for: input.id }, label), input, told);
}
