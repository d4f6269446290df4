// The access screen: the user's own permissions; for administrators keys, people and the audit log.

import { access, has } from "../../app/access.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { note } from "../../ui/status.js";
import { auditPanel } from "./audit.js";
import { keysPanel } from "./keys.js";
import { ownPanel } from "./own.js";
import { peoplePanel } from "./people.js";

/** @param {import("../../app/main.js").App} app @returns {import("../../app/main.js").Screen} */
export function open(app) {
  const own = ownPanel();
  const warning = h("div");
  const refetchOrRetry = () => refetch().catch(() => app.stream.retry());
  const [keys, people, audit] = [keysPanel(refetchOrRetry), peoplePanel(), auditPanel()];
  const forget = access.watch(() => {
    fill(warning, access.value?.isRequired === false && note("warn", h("p", {}, t("access.open"))));
    keys.element.hidden = people.element.hidden = !has("keys:manage");
    audit.element.hidden = !has("audit:read");
  });

  async function refetch() {
    const forManagers = has("keys:manage") ? [keys.refetch(), people.refetch()] : [];
    await Promise.all([own.refetch(), ...forManagers, has("audit:read") && audit.refetch()]);
  }

  return {
    element: h(
      "div",
      { class: "screen" },
      h("div", { class: "screen-head" }, h("h1", {}, t("nav.access"))),
      warning,
      own.element,
      keys.element,
      people.element,
      audit.element,
    ),
    title: () => t("nav.access"),
    topics: "gpu,system",
    on: {},
    refetch,
    close() {
      forget();
      own.close();
      audit.close();
    },
  };
}
