// The menu of the signed-in user, with sign-out. Empty if sign-in is not required.

import { h, setText } from "../../ui/dom.js";
import { localTime, utcTime } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { openMenu } from "../../ui/menu.js";
import { attempt } from "../../ui/toast.js";
import { access } from "../access.js";
import { api } from "../api.js";
import { labelFor, t } from "../i18n.js";
import { go } from "../router.js";

/** @param {import("../main.js").App} app */
export function userMenu(app) {
  const name = h("span.clip.foreign");
  const button = h("button.text-button.who", { "aria-haspopup": "menu", hidden: true }, icon("user"), name);
  button.addEventListener("click", () => {
    const who = access.value?.who;
    if (!who) return;
    openMenu(button, choices(app), description(who));
  });
  access.watch((known) => {
    const who = known?.who;
    button.hidden = !who;
    setText(name, who?.user_id ?? "");
    button.setAttribute("aria-label", t("who.is", { name: who?.user_id ?? "" }));
  });
  return button;
}

/** @param {import("../main.js").App} app @returns {import("../../ui/menu.js").Choice[]} */
const choices = (app) => [
  { label: t("settings.keys"), icon: "key", run: () => go("/settings/keys") },
  {
    label: t("signout"),
    icon: "leave",
    run: () =>
      void attempt(async () => {
        await api.logOut();
        forgetDrafts();
        app.signedOut(null);
      }),
  },
];

/** Deletes stored drafts, so that the next user does not see them. */
function forgetDrafts() {
  try {
    sessionStorage.clear();
  } catch {
    // Nothing was stored.
  }
}

/** @param {API.WhoAmI} who */
function description({ user_id: user, name, role, expires_at: end }) {
  return h(
    "div.menu-head.small",
    h("strong.foreign", user),
    name && name !== user && h("span.soft.foreign", name),
    h("span.soft", roleLabel(role)),
    h("span.faint", { title: utcTime(end) }, end ? t("who.until", { time: localTime(end) }) : t("never.ends")),
  );
}

/** @param {string|null} role */
export const roleLabel = (role) => (role ? labelFor("role", role) : t("role.own"));
