// Fields of a request that the form has no input for: shown, sent unchanged, or removed. Secrets must be entered again.

import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { textInput } from "../../ui/fields.js";
import { findingItem, placeFindings } from "./findings.js";
import { MASK, otherFields } from "./request.js";

/** @param {() => void} changed */
export function extraFields(changed) {
  const list = h("dl.extra-list");
  const wrong = h("ul.findings");
  const element = h(
    "section.extra-fields",
    { hidden: true, "aria-label": t("extra") },
    h("h3", t("extra")),
    h("p.faint.small", t("extra.text")),
    list,
    wrong,
  );
  /** @type {API.Request} */
  let request = {};
  /** @type {Map<string, HTMLInputElement>} */
  const secrets = new Map();

  /** @param {() => void} remove */
  function drop(remove) {
    remove();
    draw();
    changed();
  }

  /** @param {string} name @param {Node} shown @param {() => void} remove @returns {Child} */
  function row(name, shown, remove) {
    const label = t("extra.remove", { name });
    const button = h(
      "button.button.small",
      { type: "button", "aria-label": label, title: label, on: { click: () => drop(remove) } },
      t("remove"),
    );
    return [h("dt", h("code", name)), h("dd", shown, button)];
  }

  /** @param {string} name */
  function secret(name) {
    const before = secrets.get(name)?.value ?? "";
    const input = textInput({ type: "password", "aria-label": name, placeholder: t("extra.secret"), value: before });
    secrets.set(name, input);
    return input;
  }

  function draw() {
    const env = request.env ?? {};
    fill(
      list,
      Object.entries(env).map(([name, value]) =>
        row(
          name,
          value === MASK ? secret(name) : h("code.foreign", value),
          () => (request = { ...request, env: without(env, name) }),
        ),
      ),
      otherFields(request).map(([name, value]) =>
        row(name, h("code.foreign", JSON.stringify(value)), () => (request = without(request, name))),
      ),
    );
    for (const name of secrets.keys()) if (!(name in env)) secrets.delete(name);
    element.hidden = !list.childElementCount;
  }

  return {
    element,
    /** @param {API.Request} next */
    choose(next) {
      request = next;
      secrets.clear();
      draw();
    },
    /**
     * The initial request without removed fields. Drafts contain masks but no typed secrets.
     * @param {boolean} isDraft @returns {API.Request}
     */
    base(isDraft) {
      if (isDraft || !request.env) return request;
      const env = Object.entries(request.env).map(([name, value]) => [
        name,
        value === MASK ? (secrets.get(name)?.value ?? "") : value,
      ]);
      return { ...request, env: Object.fromEntries(env.filter(([, value]) => value)) };
    },
    /** @param {SeverityFinding[]} findings */
    show(findings) {
      const own = findings.filter(({ pointer }) => /^\/env(\/|$)/.test(pointer));
      fill(
        wrong,
        own.map((finding) => findingItem(finding, finding.pointer.slice(5), null)),
      );
      return placeFindings(own, element);
    },
  };
}

/**
 * @template {Record<string, any>} Values
 * @param {Values} values @param {string} name @returns {Values}
 */
const without = (values, name) =>
  /** @type {Values} */ (Object.fromEntries(Object.entries(values).filter(([key]) => key !== name)));
