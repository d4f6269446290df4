// Actions on an alert: acknowledge and silence.

import { has, whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { newKey } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { icon } from "../../ui/icons.js";
import { openMenu } from "../../ui/menu.js";
import { attempt, toast } from "../../ui/toast.js";
import { refetchFiring } from "./state.js";

export const HOUR_MS = 3_600_000;
/** Durations of a silence in hours, offered as one click. */
export const DURATIONS = /** @type {const} */ ([
  [1, "silence.1h"],
  [4, "silence.4h"],
  [24, "silence.1d"],
  [168, "silence.7d"],
]);

/** Labels that identify the target of an alert among the alerts of its rule. */
const TARGET_LABELS = ["gpu_uuid", "task_id", "disk", "channel_id", "channel", "key", "user", "node"];

/** @param {API.Alert} alert */
function matchersOf({ rule_id: rule, labels }) {
  const about = TARGET_LABELS.find((label) => labels[label]);
  return [{ label: "rule", value: rule }, ...(about ? [{ label: about, value: labels[about] }] : [])];
}

/** @param {() => Promise<unknown>} action @param {string} done */
const run = (action, done) =>
  attempt(async () => {
    await action();
    toast("ok", done);
    await refetchFiring();
  });

/**
 * Why this user cannot acknowledge or silence alerts, as a message; null if they can.
 * @param {string|null} owner
 */
export const whyNotMuted = (owner) => whyNot("alerts:write", has("alerts:manage") ? undefined : owner);

/** The buttons for an alert in its current state. @param {API.Alert} alert @returns {HTMLElement[]} */
export function actionButtons(alert) {
  const denied = whyNotMuted(alert.owner);
  /** @param {import("../../ui/icons.js").IconName} sign @param {string} label @param {(button: HTMLElement) => void} act @param {string} [more] */
  const button = (sign, label, act, more) => {
    /** @type {HTMLElement} */
    const element = actionButton("small", denied, () => act(element), icon(sign), label);
    if (more) element.setAttribute("aria-haspopup", more);
    return element;
  };
  const { alert_id: id, state } = alert;
  if (state === "resolved") return [];
  const silence = button("mute", t("alert.silence"), (place) => openMenu(place, durationText_(alert)), "menu");
  if (state === "firing") return [acknowledge(), silence];
  if (state === "acknowledged") return [withdraw(), silence];
  if (state === "silenced" && alert.muted_by?.startsWith("silence_")) return [unsilence(alert.muted_by)];
  return state === "pending" ? [silence] : [];

  function acknowledge() {
    return button("eye", t("alert.acknowledge"), () =>
      run(() => alertApi.acknowledge(id), t("alert.acknowledged.done")),
    );
  }
  function withdraw() {
    return button("redo", t("alert.withdraw"), () => run(() => alertApi.withdraw(id), t("alert.withdrawn")));
  }
  /** @param {string} silenceId */
  function unsilence(silenceId) {
    return button("bell", t("silence.end"), () => run(() => alertApi.endSilence(silenceId), t("silence.ended")));
  }
}

/** @param {API.Alert} alert @returns {import("../../ui/menu.js").Choice[]} */
const durationText_ = (alert) =>
  DURATIONS.map(([hours, label]) => ({
    label: t(label),
    icon: "clock",
    run: () =>
      void run(
        () =>
          alertApi.silence(
            {
              matchers: matchersOf(alert),
              until: new Date(Date.now() + hours * HOUR_MS).toISOString(),
              comment: t("silence.by.click", { title: alert.title }),
            },
            newKey(),
          ),
        t("silence.done"),
      ),
  }));
