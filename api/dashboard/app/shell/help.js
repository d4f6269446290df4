// The list of keyboard shortcuts.

import { openDialog } from "../../ui/dialog.js";
import { h } from "../../ui/dom.js";
import { access } from "../access.js";
import { t } from "../i18n.js";

/** @type {[string[], WordKey][]} */
const KEYS = [
  [["g", "m"], "keys.machine"],
  [["g", "t"], "keys.tasks"],
  [["g", "d"], "keys.data"],
  [["g", "o"], "keys.models"],
  [["g", "n"], "keys.start"],
  [["g", "l"], "keys.alerts"],
  [["b"], "keys.bell"],
  [["g", "a"], "keys.access"],
  [["/"], "keys.search"],
  [["j", "k"], "keys.move"],
  [["Enter"], "keys.open"],
  [["e", "E"], "keys.errors"],
  [["f"], "keys.follow"],
  [["←", "→", "↑", "↓"], "keys.items"],
  [["Space"], "keys.choose"],
  [["Ctrl A"], "keys.all"],
  [["e"], "keys.caption"],
  [["Esc"], "keys.leave"],
  [["?"], "keys.help"],
];

/** Without sign-in, the shortcut of the access screen is hidden. @param {WordKey} key */
const isAvailable = (key) => key !== "keys.access" || access.value?.isRequired;

export function openHelp() {
  openDialog(t("keys"), (close) =>
    h(
      "div",
      { class: "inside" },
      h("h2", {}, t("keys")),
      h(
        "dl",
        { class: "keys" },
        KEYS.filter(([, key]) => isAvailable(key)).map(([keys, key]) => [
          h(
            "dt",
            {},
            keys.map((name) => h("kbd", {}, name)),
          ),
          h("dd", { class: "soft" }, t(key)),
        ]),
      ),
      h("p", { class: "small soft" }, h("a", { href: "/docs", target: "_blank", rel: "noopener" }, t("api.docs"))),
      h(
        "div",
        { class: "choices" },
        h("button", { class: "button primary", autofocus: true, on: { click: close } }, t("close")),
      ),
    ),
  );
}
