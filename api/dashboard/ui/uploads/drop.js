// Drop zones for files and folders.

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { attempt } from "../toast.js";
import { droppedFiles, folderName } from "./files.js";

/**
 * Accepts drops anywhere in the window, or in an element. The returned function unsubscribes.
 * @param {() => string} describe describes what a drop would do
 * @param {(files: import("./files.js").Found[], name: string) => unknown} dropped `name` is that of a single folder
 * @param {HTMLElement} [into] the element that shows the description
 */
export function dropZone(describe, dropped, into) {
  const text = h("strong");
  const sign = h("div", { class: `drop-sign${into ? " within" : ""}`, hidden: true }, icon("down"), text);
  (into ?? document.body).append(sign);
  const target = /** @type {EventTarget} */ (into ?? window);
  // Nested enter and leave events: at depth 0 the drag has left the page.
  let depth = 0;
  const show = (/** @type {boolean} */ isOver) => {
    sign.hidden = !isOver;
    if (isOver) text.textContent = describe();
    else depth = 0;
  };
  const ends = new AbortController();
  /** @param {"dragenter"|"dragover"|"dragleave"|"drop"} type @param {(event: DragEvent) => void} listener */
  const on = (type, listener) =>
    target.addEventListener(
      type,
      (given) => {
        const event = /** @type {DragEvent} */ (given);
        if (!event.dataTransfer?.types.includes("Files") || document.querySelector("dialog[open]")) return;
        // A field of its own, such as an editor, takes the file.
        const isTaken = event.defaultPrevented;
        event.preventDefault();
        if (!isTaken) listener(event);
        else if (type === "drop") show(false);
        else sign.hidden = true;
      },
      { signal: ends.signal },
    );
  on("dragenter", () => {
    depth += 1;
    show(true);
  });
  on("dragover", () => {});
  on("dragleave", () => {
    depth -= 1;
    if (depth <= 0) show(false);
  });
  on("drop", ({ dataTransfer }) => {
    show(false);
    if (!dataTransfer) return;
    // The entries can only be read while the event is handled.
    const [files, name] = [droppedFiles(dataTransfer), folderName(dataTransfer)];
    attempt(async () => dropped(await files, name));
  });
  return () => {
    ends.abort();
    sign.remove();
  };
}

/**
 * A button that opens a file or folder picker.
 * @param {boolean} isFolder @param {(input: HTMLInputElement) => void} chosen @param {{accept?: string, isOne?: boolean}} [which]
 */
export function filePicker(isFolder, chosen, { accept, isOne } = {}) {
  const input = h("input", {
    type: "file",
    multiple: !isOne,
    accept,
    webkitdirectory: isFolder,
    hidden: true,
    "aria-hidden": "true",
    tabindex: -1,
  });
  input.addEventListener("change", () => {
    chosen(input);
    input.value = "";
  });
  return input;
}
