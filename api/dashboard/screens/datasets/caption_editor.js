// An inline editor for a caption.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { toastError } from "../../ui/toast.js";

/** Length limit of the service. */
export const MAX_CHARACTERS = 20_000;

/**
 * Replaces a caption with a text field. Enter saves, Tab saves and continues with the next item, Escape discards;
 * losing the focus saves, too.
 * @param {HTMLElement} place
 * @param {API.Item} item
 * @param {{save: (text: string) => Promise<void>, done: (step: -1|0|1|null) => void}} options `done` gets the number of items to move on; null: the focus is elsewhere
 */
export function captionEditor(place, item, { save, done }) {
  const before = item.caption ?? "";
  const field = h("textarea.input.caption-field", {
    maxlength: MAX_CHARACTERS,
    "aria-label": t("caption.of", { name: item.name }),
  });
  field.value = before;
  let isOver = false;

  /** @param {boolean} isSaved @param {-1|0|1|null} step */
  async function end(isSaved, step) {
    if (isOver) return;
    isOver = true;
    field.readOnly = true;
    try {
      if (isSaved && field.value !== before) await save(field.value);
    } catch (error) {
      // The text stays until it is saved or discarded.
      isOver = false;
      field.readOnly = false;
      toastError(error);
      return;
    }
    field.replaceWith(place);
    done(step);
  }

  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.isComposing) return;
    if (event.key === "Escape") end(false, 0);
    else if (event.key === "Enter" && !event.shiftKey) end(true, 0);
    else if (event.key === "Tab") end(true, event.shiftKey ? -1 : 1);
    else return;
    event.preventDefault();
  });
  field.addEventListener("blur", () => end(true, null));
  place.replaceWith(field);
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}
