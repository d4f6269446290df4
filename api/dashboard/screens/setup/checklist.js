// The checklist of a new installation; each step can be done in it.

import { has } from "../../app/access.js";
import { api } from "../../app/api.js";
import { newKey } from "../../app/api_data.js";
import { setup } from "../../app/api_setup.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { go, taskAddress } from "../../app/router.js";
import { loadStyleOnce } from "../../app/shell/style.js";
import { fill, h, reconcile, setText } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { polling } from "../../ui/polling.js";
import { prose } from "../../ui/prose.js";
import { attempt } from "../../ui/toast.js";
import { settingsForm } from "./settings_form.js";

const PAUSE_MS = 2000;

/** @type {Record<string, [tone: string, sign: import("../../ui/icons.js").IconName]>} */
const LOOKS = {
  done: ["ok", "check"],
  missing: ["warn", "circle"],
  problem: ["bad", "cross"],
  checking: ["run", "spin"],
  optional: ["idle", "circle"],
};

/** Whether there is something to do. @param {API.SetupStep} step */
const isOpen = ({ state }) => state === "problem" || state === "missing";

const TOY = { model_type: "toy", name: "Toy", config: { epochs: 3 } };

/** @typedef {{step: API.SetupStep, own: API.RunTimeSetting[]}} Item */

/** @param {{hide?: () => void, changed?: () => unknown}} [options] `changed` is called after a setting was changed */
export function checklist({ hide, changed = () => {} } = {}) {
  const count = h("span.soft.small");
  const list = h("ol.setup-steps");
  const element = h("div.setup");
  const panel = h(
    "section.panel.setup-panel",
    { "aria-label": t("setup") },
    h(
      "header",
      h("h2", t("setup")),
      count,
      hide && h("div.tools", h("button.button.small", { on: { click: hide } }, t("setup.hide"))),
    ),
    list,
  );
  /** @type {Map<string, import("../../ui/dom.js").Part<Item>>} */
  const parts = new Map();
  /** The step that was opened last. @type {string|null} */
  let opened = null;
  const polled = polling(load, draw, PAUSE_MS);

  async function load() {
    const [{ steps }, { settings }] = await Promise.all([
      setup.checklist(),
      has("system:read") ? setup.settings() : { settings: [] },
      loadStyleOnce("setup"),
    ]);
    return { steps, settings };
  }

  /** @param {Awaited<ReturnType<typeof load>>} found @returns {boolean} whether to fetch again soon */
  function draw({ steps, settings }) {
    const done = steps.filter(({ state }) => state === "done").length;
    const next = steps.find(isOpen);
    const items = steps.map((step) => ({
      step,
      own: settings.filter(({ key }) => step.settings.includes(key)),
    }));
    setText(count, t("setup.done.n", { done, n: steps.length }));
    reconcile(list, parts, items, ({ step }) => step.id, stepPart);
    // Nothing moves while the user is busy with another step.
    if (next && next.id !== opened && !list.querySelector("details[open]")) {
      opened = next.id;
      /** @type {HTMLDetailsElement} */ (parts.get(opened)?.element.firstChild).open = true;
    }
    if (!element.firstChild) element.append(panel);
    return steps.some(({ state }) => state === "checking");
  }

  async function saved() {
    await polled.refetch();
    await changed();
  }

  function stepPart() {
    const details = h("details");
    const row = h("li", details);
    let shown = "";
    let wasOpen = false;
    return {
      element: row,
      /** An unchanged step is not replaced, so that typed values stay. @param {Item} item */
      update({ step, own }) {
        // It closes when its button was pressed, not when a check ends and the user reads the next step.
        if (wasOpen && !isOpen(step)) details.open = false;
        wasOpen = isOpen(step);
        const now = JSON.stringify([step, own]);
        if (now === shown) return;
        shown = now;
        Object.assign(row.dataset, { step: step.id, state: step.state });
        fill(details, summaryOf(step), bodyOf(step, own));
      },
    };
  }

  /** @param {API.SetupStep} step @param {API.RunTimeSetting[]} own */
  const bodyOf = (step, own) =>
    h(
      "div.stack.setup-body",
      step.fix && h("p.small", prose(translate(step.fix, step.fix_code))),
      step.command && h("pre.file", h("code", step.command)),
      step.fixed_by && h("p.small.soft", t("setup.fixed", { name: step.fixed_by })),
      own.length > 0 && settingsForm(own, saved, step.suggestions),
      h("div.choices", actions(step)),
    );

  /** @param {API.SetupStep} step @returns {Child} */
  function actions({ id, state }) {
    /** @param {WordKey} label @param {() => unknown} run @param {import("../../ui/icons.js").IconName} sign */
    const button = (label, run, sign) =>
      h("button.button.small", { type: "button", on: { click: () => attempt(run) } }, icon(sign), t(label));
    /** @param {WordKey} label @param {string} address @param {import("../../ui/icons.js").IconName} sign */
    const link = (label, address, sign) => h("a.button.small", { href: address }, icon(sign), t(label));
    if (id === "trainer" && has("system:write")) return button("environment.check", checkTrainer, "redo");
    if (id === "models") return link("setup.models.get", "#/models", "down");
    if (id === "dataset") return link("setup.dataset.new", "#/datasets?new", "stack");
    if (id === "first_training" && state !== "done" && has("training:write"))
      return [link("nav.start", "#/new", "plus"), button("setup.toy", startToy, "flask")];
    if (id === "notifications" && has("alerts:manage")) return button("channel.new", newChannel, "bell");
    if (id === "access" && has("keys:manage")) return link("setup.keys", "#/access", "key");
    return null;
  }

  async function checkTrainer() {
    await api.checkTrainer();
    await polled.refetch();
  }

  async function startToy() {
    const { task_id: id } = await api.start(TOY, newKey());
    go(taskAddress(id).slice(1));
  }

  async function newChannel() {
    const [{ askForChannel }] = await Promise.all([import("../alerts/channel_form.js"), loadStyleOnce("alerts")]);
    if (await askForChannel(null)) await polled.refetch();
  }

  return { element, refetch: polled.refetch, close: polled.close };
}

/** @param {API.SetupStep} step */
function summaryOf({ id, state, message, message_code: code }) {
  const [tone, sign] = LOOKS[state] ?? ["idle", "question"];
  return h(
    "summary",
    h(
      "span.status",
      { data: { tone } },
      icon(sign, sign === "spin" ? "spin" : ""),
      h("span.setup-state", labelFor("setup.state", state)),
    ),
    h("span.grow", h("strong", labelFor("setup.step", id)), h("span.soft.small", prose(translate(message, code)))),
    icon("chevron"),
  );
}
