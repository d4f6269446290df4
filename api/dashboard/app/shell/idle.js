// The banner of an idle machine that ends soon: on every screen, with buttons that hold it.

import { fill, h, setText } from "../../ui/dom.js";
import { askFields } from "../../ui/form_dialog.js";
import { duration, weekdayTime } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { prose } from "../../ui/prose.js";
import { attempt } from "../../ui/toast.js";
import { whyNot } from "../access.js";
import { Refused } from "../api.js";
import { power } from "../api_power.js";
import { t, translate } from "../i18n.js";

const POLL_MS = 10_000;
const HOUR = 3600;
const CHOICES = [1, 2, 4, 8, 24, 72];

/** The text of each action in a countdown. @type {Record<string, WordKey>} */
const ENDS = { webhook: "idle.ends.webhook", command: "idle.ends.command", power_off: "idle.ends.power_off" };

export function idleBanner() {
  const text = h("span.foreign");
  const buttons = h("span.choices");
  const element = h("div.banner.idle", { role: "status", hidden: true }, icon("clock"), text, buttons);
  /** @type {API.IdleEnd|null} */
  let known = null;
  let shown = "";
  let isWatched = false;

  /** @param {WordKey} key @param {() => unknown} run */
  const button = (key, run) => {
    const why = whyNot("training:write");
    const attributes = { type: "button", disabled: why !== null, title: why, on: { click: run } };
    return h("button.button.small", attributes, t(key));
  };
  /** @param {() => Promise<API.IdleEnd>} change */
  const act = (change) => attempt(async () => take(await change()));
  const hold = () => act(() => power.hold(null));
  const release = () => act(power.release);

  function holdFor() {
    const options = CHOICES.map((n) => /** @type {[string, string]} */ ([String(n), t("gpu.pause.hours", { n })]));
    const field = { name: "hours", label: t("gpu.pause.for"), value: "2", options };
    askFields(t("idle.hold_title"), [field], t("idle.hold"), async ({ hours }) =>
      take(await power.hold(Number(hours) * HOUR)),
    );
  }

  /** @param {API.IdleEnd} end @returns {Child} */
  function textOf(end) {
    if (end.stage === "ending") return t("idle.ending");
    if (end.stage === "blocked") return prose(translate(end.problem ?? "", end.problem_code));
    if (end.stage === "held") {
      const by = end.held_by ?? "";
      return end.held_until ? t("idle.held_until", { by, until: weekdayTime(end.held_until) }) : t("idle.held", { by });
    }
    const left = end.ends_at ? Math.max(0, (Date.parse(end.ends_at) - Date.now()) / 1000) : null;
    return t(ENDS[end.action ?? ""] ?? "idle.ends.command", { time: duration(left) });
  }

  /** @param {API.IdleEnd} end */
  function take(end) {
    known = end;
    const stage = ["countdown", "ending", "held", "blocked"].includes(end.stage) ? end.stage : "";
    element.hidden = stage === "";
    element.classList.toggle("lost", stage === "blocked");
    if (stage !== shown) {
      shown = stage;
      if (stage === "countdown") fill(buttons, button("idle.hold", hold), button("idle.hold_for", holdFor));
      else if (stage === "held") fill(buttons, button("idle.hold_for", holdFor), button("idle.release", release));
      else if (stage === "blocked") fill(buttons, button("idle.again", release), button("idle.hold", hold));
      else fill(buttons);
    }
    draw();
  }

  function draw() {
    if (known === null || element.hidden) return;
    const content = textOf(known);
    if (typeof content === "string") setText(text, content);
    else fill(text, content);
  }

  async function poll() {
    try {
      const end = await power.idle();
      take(end);
      // Settings of the environment change with a restart only.
      if (end.stage === "off") return;
    } catch (error) {
      const status = error instanceof Refused ? error.status : 0;
      if (status === 401) {
        isWatched = false;
        element.hidden = true;
      }
      if (status === 401 || status === 403) return;
    }
    setTimeout(poll, POLL_MS);
  }
  setInterval(draw, 1000);
  return {
    element,
    /** Begins when a user is signed in. */
    watch() {
      if (isWatched) return;
      isWatched = true;
      poll();
    },
  };
}
