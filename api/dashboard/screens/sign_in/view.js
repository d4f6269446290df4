// The sign-in screen: by key, or by OpenID Connect.

import { access, loadAccess } from "../../app/access.js";
import { api, Refused } from "../../app/api.js";
import { refusalText } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";

/** Finds a key in pasted text, such as a whole header. */
const KEY = /dp_[a-z0-9]+_\S+/i;
const LONGEST_PROBLEM = 500;

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, { query }) {
  const problem = h("div", { role: "alert" });
  const field = h("input.input", {
    id: "sign-in-key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "none",
    maxlength: 500,
    placeholder: "dp_…",
    required: true,
    autofocus: true,
  });
  const button = h("button.button.primary", { type: "submit" }, icon("key"), t("signin.do"));
  const elsewhere = h("div.stack");

  /** @param {string} text */
  const showProblem = (text) => fill(problem, text && note("bad", h("p.foreign", text)));

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    const written = field.value.trim();
    if (!written) return field.focus();
    // The key is removed from the page in any case.
    field.value = "";
    button.disabled = true;
    showProblem("");
    try {
      app.signedIn(await api.logIn(KEY.exec(written)?.[0] ?? written));
    } catch (error) {
      showProblem(refusalText(error));
    } finally {
      button.disabled = false;
      field.focus();
    }
  }

  /** The link to OpenID Connect, which returns to the current address. */
  function showElsewhere() {
    const place = access.value?.oidc;
    const next = `/${location.hash.startsWith("#/sign-in") ? "" : location.hash}`;
    fill(
      elsewhere,
      place && [
        h("p.faint.small.or", t("signin.or")),
        h("a.button", { href: `${place}?next=${encodeURIComponent(next)}` }, icon("user"), t("signin.oidc")),
      ],
    );
  }

  const forget = access.watch(showElsewhere);
  if (!access.value) loadAccess().catch(() => {});
  showProblem(query.get("problem")?.slice(0, LONGEST_PROBLEM) ?? reasonText(app.signedOutBy));
  return {
    element: h(
      "div.screen.sign-in",
      h(
        "form.panel",
        { novalidate: true, on: { submit } },
        h("h1", t("signin")),
        h("p.soft.small", t("signin.text")),
        problem,
        h("div.field", h("label", { for: "sign-in-key" }, t("signin.key")), field),
        button,
        elsewhere,
      ),
    ),
    title: () => t("signin"),
    isQuiet: true,
    on: {},
    refetch: async () => {},
    shown: () => field.focus(),
    close: () => {
      forget();
      field.value = "";
    },
  };
}

/** Why the session has ended; empty for a first visit. @param {unknown} why */
const reasonText = (why) => (why instanceof Refused && why.code !== "unauthenticated" ? refusalText(why) : "");
