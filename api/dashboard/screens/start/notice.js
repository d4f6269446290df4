// The channels that are notified when the training ends.

import { alertApi } from "../../app/api_alerts.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { canSeeAlerts } from "../alerts/state.js";
import { findingItem, placeFindings } from "./findings.js";

const POINTER = "/notify";

/** Hidden if there are no channels, and the user cannot make one. */
export function noticeChoice() {
  const [boxes, list] = [h("div.stack"), h("ul.findings")];
  const element = h("fieldset.field", { hidden: true }, h("legend.label", t("notify.start")), boxes, list);
  /** The value in the request. @type {API.Request["notify"]} */
  let given = null;
  /** @type {string[]} */
  let known = [];

  function draw() {
    const chosen = given?.channels ?? [];
    // Channels of the request are shown even if deleted: the service reports them.
    const names = [...new Set([...known, ...chosen])];
    element.hidden = !names.length && !canSeeAlerts();
    fill(
      boxes,
      !names.length &&
        h(
          "p.soft.small",
          t("notify.start.none"),
          " ",
          h("a", { href: "#/alerts?tab=channels" }, t("alerts.tab.channels")),
        ),
      names.map((value) => {
        const box = h("input", { type: "checkbox", value, checked: chosen.includes(value) });
        box.addEventListener("change", () => {
          const rest = (given?.channels ?? []).filter((each) => each !== value);
          const channels = box.checked ? [...rest, value] : rest;
          given = channels.length ? { ...given, channels } : null;
        });
        return h("label.check", box, h("span.foreign", value));
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
      return placeFindings(own, element);
    },
  };
}
