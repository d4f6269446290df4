// The switch for notifications of this browser: whoever clicks it is asked by the browser, and nobody else.

import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { toast } from "../../ui/toast.js";
import { canNotify, notifies, switchOff, switchOn } from "./notify.js";

export function notifySwitch() {
  const input = h("input", {
    type: "checkbox",
    role: "switch",
    class: "switch",
    id: "notify-switch",
    disabled: !canNotify,
  });
  input.addEventListener("change", async () => {
    if (!input.checked) return switchOff();
    if (await switchOn()) return;
    input.checked = false;
    toast("bad", t("notify.denied"));
  });
  const unwatch = notifies.watch((is) => {
    input.checked = is;
  });
  return {
    element: h(
      "div",
      { class: "notify-row small" },
      input,
      h(
        "label",
        { for: input.id },
        t("notify.here"),
        h("span", { class: "faint" }, ` · ${t(canNotify ? "notify.text" : "notify.cannot")}`),
      ),
    ),
    close: () => void unwatch(),
  };
}
