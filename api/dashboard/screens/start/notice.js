// The channels that are notified when the training ends.

import { alertApi } from "../../app/api_alerts.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { canSeeAlerts } from "../alerts/state.js";
import { findingItem } from "./findings.js";

const POINTER = "/notify";

/** Hidden if there are no channels. */
export function noticeChoice() {
  const [boxes, list] = [h("div", { class: "stack" }), h("ul", { class: "findings" })];
  const element = h(
    "fieldset",
    { class: "field", hidden: true },
    h("legend", { class: "label" }, t("notify.start")),
    boxes,
    list,
  );
  /** The value in the request. @type {API.Request["notify"]} */
  let given = null;
  /** @type {string[]} */
  let known = [];

  function draw() {
    const chosen = given?.channels ?? [];
    // Channels of the request are shown even if deleted: the service reports them.
    const names = [...new Set([...known, ...chosen])];
    element.hidden = !names.length;
    fill(
      boxes,
      names.map((value) => {
        const box = h("input", { type: "checkbox", value, checked: chosen.includes(value) });
        box.addEventListener("change", () => {
          const rest = (given?.channels ?? []).filter((each) => each !== value);
          const channels = box.checked ? [...rest, value] : rest;
          given = channels.length ? { ...given, channels } : null;
        });
        return h("label", { class: "check" }, box, h("span", { class: "foreign" }, value));
      }),
    );
  }

  if (canSeeAlerts()) {
    alertApi.channels().then(
      ({ channels }) => {
        known = channels.filter(({ enabled }) => enabled).map(({ name }) => name);
        draw();
      },
      () => {},
    );
  }
  return {
    element,
    toRequest: () => given ?? undefined,
    /** @param {API.Request} initial */
    choose(initial) {
      given = initial.notify ?? null;
      draw();
    },
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const own = findings.filter(({ pointer }) => pointer.startsWith(POINTER));
      fill(
        list,
        own.map((finding) => findingItem(finding, "", null)),
      );
      return own;
    },
  };
}
