// An input for a path of the server, with a button that opens the file dialog.

import { has } from "../app/access.js";
import { t } from "../app/i18n.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Returns the input with its button, at the place of the input; the chosen path is set like a typed one.
 * @param {HTMLInputElement} input @param {import("./file_dialog.js").Wanted} wanted
 */
export function withBrowser(input, wanted) {
  // Only users who start trainings or register datasets name paths.
  if (!has("datasets:write")) return input;
  const browse = async () => {
    const { chooseFile } = await import("./file_dialog.js");
    const path = await chooseFile(wanted, input.value.trim());
    if (path === null) return;
    input.value = path;
    for (const type of ["input", "change"]) input.dispatchEvent(new Event(type, { bubbles: true }));
  };
  const line = h("div.path-line");
  input.replaceWith(line);
  line.append(
    input,
    h("button.button", { type: "button", on: { click: () => void browse() } }, icon("folder"), t("browse.browse")),
  );
  return line;
}
