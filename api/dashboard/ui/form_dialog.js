// Dialogs with a form.

import { refusalText } from "../app/error_text.js";
import { t } from "../app/i18n.js";
import { openDialog } from "./dialog.js";
import { fill, h } from "./dom.js";
import { note } from "./status.js";

/** Pattern of model names that the service accepts. */
export const MODEL_NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,99}";

/** Values are sent without spaces around them. */
const NOT_BLANK = ".*\\S.*";

/**
 * `rows` makes it a text area, `options` a select; a field of the type `checkbox` gives "yes" or "".
 * @typedef {object} Field
 * @property {string} name @property {string} label @property {string} value
 * @property {string} [hint] @property {string} [pattern] @property {boolean} [required] @property {string} [placeholder]
 * @property {number} [rows] @property {"text"|"password"|"checkbox"|"number"|"datetime-local"} [type] @property {number} [max]
 * @property {readonly [value: string, label: string][]} [options]
 */

/** @typedef {HTMLInputElement|HTMLTextAreaElement|HTMLSelectElement} Input */

/**
 * Opens a dialog with a form, which stays open until its action succeeds. Resolves to the action's result, or null.
 * @template T
 * @param {object} form
 * @param {string} form.title
 * @param {Child} form.content
 * @param {Child} form.action content of the submit button
 * @param {() => Promise<T>} form.run throws the error if rejected
 * @param {() => boolean} [form.isValid] checked before the action, in addition to the browser's own checks
 * @param {() => void} [form.changed] called after each input
 * @param {(error: unknown) => string} [form.message] the message of an error
 * @param {string} [form.className]
 * @param {boolean} [form.isSticky] only the buttons close the dialog
 * @returns {Promise<T|null>}
 */
export function askForm({
  title,
  content,
  action,
  run,
  isValid = () => true,
  changed = () => {},
  message = refusalText,
  className,
  isSticky,
}) {
  return new Promise((resolve) => {
    /** @type {T|null} */
    let result = null;
    const problem = h("div", { role: "alert" });
    const button = h("button.button.primary", { type: "submit" }, action);
    const open = (/** @type {() => void} */ close) => {
      const submit = async (/** @type {Event} */ event) => {
        event.preventDefault();
        if (!isValid()) return;
        button.disabled = true;
        try {
          result = await run();
          close();
        } catch (error) {
          fill(problem, note("bad", h("p.foreign", message(error))));
          problem.scrollIntoView({ block: "nearest" });
        } finally {
          button.disabled = false;
        }
      };
      return h(
        "form.inside",
        { on: { submit, input: changed } },
        h("h2", title),
        content,
        problem,
        h("div.choices", h("button.button", { type: "button", on: { click: close } }, t("cancel")), button),
      );
    };
    openDialog(title, open, className, isSticky).addEventListener("close", () => resolve(result));
  });
}

/**
 * Opens a dialog with fields, which stays open until its action succeeds.
 * @param {string} title @param {readonly Field[]} wanted @param {string} action
 * @param {(values: Record<string, string>) => Promise<unknown>} run throws the error if rejected
 * @param {Child} [text]
 * @returns {Promise<boolean>} whether the action was done
 */
export async function askFields(title, wanted, action, run, text) {
  const inputs = wanted.map(inputOf);
  const isDone = await askForm({
    title,
    content: [text && h("div.soft.small", text), wanted.map((field, i) => rowOf(field, inputs[i]))],
    action,
    run: async () => {
      await run(Object.fromEntries(wanted.map(({ name }, i) => [name, textOf(inputs[i])])));
      return true;
    },
  });
  return isDone === true;
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
    : h("input", {
        ...attributes,
        type: field.type,
        pattern: field.pattern ?? (field.required && NOT_BLANK),
        ...numbers(field),
        maxlength: 4000,
      });
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
  const hintText = hint && h("p.faint.tiny", { id: `ask-${name}-hint` }, hint);
  return type === "checkbox"
    ? h("div.field", h("label.check", { for: input.id }, input, label), hintText)
    : h("div.field", h("label", { for: input.id }, label), input, hintText);
}
