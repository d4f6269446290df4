// A dialog with a few fields.

import { openDialog } from "../../components/dialog.js";
import { note } from "../../components/status.js";
import { fill, h } from "../../dom.js";
import { t } from "../../i18n.js";
import { refusalWords } from "../../refusal.js";

/** Names of models, as the service takes them. */
export const MODEL_NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,99}";

/** @typedef {{name: string, label: string, hint?: string, pattern?: string, required?: boolean, rows?: number, value: string}} Field */

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
      const inputs = wanted.map((field) => {
        const attributes = {
          class: "input",
          id: `ask-${field.name}`,
          autocomplete: "off",
          "aria-describedby": field.hint ? `ask-${field.name}-hint` : null,
        };
        const input = field.rows
          ? h("textarea", { ...attributes, rows: field.rows, maxlength: 4000 })
          : h("input", { ...attributes, pattern: field.pattern, required: field.required, maxlength: 400 });
        input.value = field.value;
        return input;
      });
      const problem = h("div", { "aria-live": "assertive" });
      const button = h("button", { class: "button primary", type: "submit" }, action);
      const submit = async (/** @type {Event} */ event) => {
        event.preventDefault();
        button.disabled = true;
        try {
          await run(Object.fromEntries(wanted.map(({ name }, i) => [name, inputs[i].value.trim()])));
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
        wanted.map((field, i) =>
          h(
            "div",
            { class: "field" },
            h("label", { for: `ask-${field.name}` }, field.label),
            inputs[i],
            field.hint && h("p", { class: "faint tiny", id: `ask-${field.name}-hint` }, field.hint),
          ),
        ),
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
