// A caption that is written where it stands.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { toastError } from "../../ui/toast.js";

/** The longest caption, as the service takes it. */
export const MOST_CHARACTERS = 20_000;

/**
 * Puts a field into the place of a caption. Enter keeps what was written, Tab goes on with the next, Escape leaves it
 * as it was; so does a look elsewhere keep it.
 * @param {HTMLElement} place
 * @param {API.Item} item
 * @param {{save: (text: string) => Promise<void>, done: (step: -1|0|1|null) => void}} how `done` tells how far to go on; null: the focus is elsewhere
 */
export function captionEditor(place, item, { save, done }) {
  const before = item.caption ?? "";
  const field = h("textarea", {
    class: "input caption-field",
    maxlength: MOST_CHARACTERS,
    "aria-label": t("caption.of", { name: item.name }),
  });
  field.value = before;
  let isOver = false;

  /** @param {boolean} isKept @param {-1|0|1|null} step */
  async function end(isKept, step) {
    if (isOver) return;
    isOver = true;
    field.readOnly = true;
    try {
      if (isKept && field.value !== before) await save(field.value);
    } catch (error) {
      // What was written stays until it is kept, or given up.
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
