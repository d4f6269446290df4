// Banners on every screen: simulated readings, lost connection, stale readings.

import { h, setText } from "../../ui/dom.js";
import { duration } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { t } from "../i18n.js";
import { ageOf, ageOfReadings, machine } from "../machine.js";
import { connection } from "../stream.js";

/** @param {import("../main.js").App} app */
export function banners(app) {
  const simulated = h("div", { class: "banner simulated", hidden: true }, icon("flask"), h("span", {}, t("simulated")));
  const lostText = h("span");
  const lost = h(
    "div",
    { class: "banner lost", role: "alert", hidden: true },
    icon("unplug"),
    lostText,
    h("button", { class: "button small", on: { click: () => app.stream.retry() } }, t("retry")),
  );
  const staleText = h("span");
  const stale = h("div", { class: "banner stale", hidden: true }, icon("clock"), staleText);

  function showStale() {
    const snapshot = machine.value;
    const isStale = app.isStale();
    stale.hidden = !isStale || !lost.hidden;
    document.body.classList.toggle("old", isStale);
    if (snapshot && isStale) setText(staleText, t("stale.all", { age: duration(ageOfReadings(snapshot)) }));
  }

  function showLost() {
    const { state, retryAt } = connection.value;
    lost.hidden = state !== "lost";
    if (retryAt !== null) {
      const time = duration(Math.max(0, (retryAt - Date.now()) / 1000));
      setText(lostText, t("lost", { age: duration(ageOf(machine.value?.timestamp)), time }));
    }
    showStale();
  }

  machine.watch((snapshot) => {
    simulated.hidden = snapshot?.source !== "simulated";
    if (app.banners) showStale();
  });
  connection.watch(() => app.banners && showLost());
  setInterval(showLost, 1000);
  return { element: h("aside", { "aria-label": t("notices") }, lost, stale, simulated) };
}
