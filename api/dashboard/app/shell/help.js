// The list of keyboard shortcuts.

import { openDialog } from "../../ui/dialog.js";
import { h } from "../../ui/dom.js";
import { t } from "../i18n.js";

/** @type {[string[], WordKey][]} */
const KEYS = [
  [["g", "h"], "keys.home"],
  [["g", "t"], "keys.tasks"],
  [["g", "d"], "keys.data"],
  [["g", "o"], "keys.models"],
  [["g", "n"], "keys.start"],
  [["g", "g"], "keys.gpus"],
  [["g", "l"], "keys.alerts"],
  [["g", "s"], "keys.settings"],
  [["/"], "keys.search"],
  [["j", "k"], "keys.move"],
  [["Enter"], "keys.open"],
  [["x", "X"], "keys.choose.task"],
  [["e", "E"], "keys.errors"],
  [["f"], "keys.follow"],
  [["←", "→", "↑", "↓"], "keys.items"],
  [["Space"], "keys.choose"],
  [["Ctrl A"], "keys.all"],
  [["e"], "keys.caption"],
  [["Esc"], "keys.leave"],
  [["?"], "keys.help"],
];

export const keyList = () =>
  h(
    "dl.keys",
    KEYS.map(([keys, key]) => [
      h(
        "dt",
        keys.map((name) => h("kbd", name)),
      ),
      h("dd.soft", t(key)),
    ]),
  );

export const apiLink = () => h("p", h("a", { href: "/docs", target: "_blank", rel: "noopener" }, t("api.docs")));

export function openHelp() {
  openDialog(t("keys"), (close) =>
    h(
      "div.inside",
      h("h2", t("keys")),
      keyList(),
      apiLink(),
      h("div.choices", h("button.button.primary", { autofocus: true, on: { click: close } }, t("close"))),
    ),
  );
}
