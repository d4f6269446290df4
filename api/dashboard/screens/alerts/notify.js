// Browser notifications: one per alert, however many tabs are open and however often they reload.
// The tab that holds the lock receives alerts and shows them, also in the background; other tabs wait for the lock.

import { access } from "../../app/access.js";
import { request, streamURL } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, language, t } from "../../app/i18n.js";
import { recall, remember } from "../../app/settings.js";
import { Store } from "../../app/store.js";
import { alertChanged, canSeeAlerts } from "./state.js";

const LOCK = "diffusion-pipe-alerts";
/** Number of shown alerts, and of watched trainings, that are remembered. */
const MAX_COUNT = 300;
/** More alerts than this at the same time become one notification. */
const MAX_AT_ONCE = 3;
const PAUSE_MS = 300;
const RETRY_MS = 5000;

/** Notifications and locks need a secure context. */
export const canNotify = "Notification" in globalThis && "locks" in navigator && isSecureContext;

const isOn = () => canNotify && recall("notify", "") === "on" && Notification.permission === "granted";

/** Whether this browser shows notifications. */
export const notifies = new Store(isOn());

/** @param {string} name @returns {string[]} */
function listed(name) {
  try {
    const found = JSON.parse(recall(name, "[]"));
    return Array.isArray(found) ? found.map(String) : [];
  } catch {
    return [];
  }
}

/** @param {string} name @param {string[]} ids */
const list = (name, ids) => remember(name, JSON.stringify(ids.slice(-MAX_COUNT)));

/** Asks the user for permission. Resolves to whether notifications are on. */
export async function switchOn() {
  if (!canNotify || (await Notification.requestPermission()) !== "granted") return false;
  remember("notify", "on");
  // Alerts that are active already are known to the user.
  await request(`/alerts?state=firing&limit=${MAX_COUNT}`).then(
    (/** @type {API.AlertList} */ { alerts }) =>
      list("notified", [...listed("notified"), ...alerts.map(({ alert_id: id }) => id)]),
    () => {},
  );
  notifies.set(true);
  return true;
}

export function switchOff() {
  remember("notify", "off");
  notifies.set(false);
}

/** Whether this browser notifies of the training's end. @param {string} id */
export const isWatched = (id) => isOn() && listed("watched").includes(id);

/** @param {string} id @param {boolean} is */
export const watch = (id, is) =>
  list("watched", [...listed("watched").filter((each) => each !== id), ...(is ? [id] : [])]);

/** @type {AbortController|null} */
let waiting = null;

/** Runs while notifications are on and the user may see alerts. */
function notifyWhileOn() {
  const tabs = new BroadcastChannel(LOCK);
  tabs.onmessage = () => alertChanged();
  const begin = () => {
    const should = isOn() && canSeeAlerts();
    if (should && !waiting) {
      waiting = new AbortController();
      const { signal } = waiting;
      navigator.locks.request(LOCK, { signal }, () => lead(tabs, signal)).catch(() => {});
    } else if (!should && waiting) {
      waiting.abort();
      waiting = null;
    }
  };
  notifies.watch(begin);
  access.watch(begin);
  // Another tab has turned notifications on or off.
  addEventListener("storage", () => isOn() !== notifies.value && notifies.set(isOn()));
}

/** Receives alerts and shows notifications until aborted. @param {BroadcastChannel} tabs @param {AbortSignal} signal */
function lead(tabs, signal) {
  /** @type {EventSource|null} */
  let source = null;
  let timer = 0;
  const showNewSoon = soon(() => showNew().catch(() => {}), PAUSE_MS);
  const connect = () => {
    source = new EventSource(streamURL("/alerts/stream"));
    // After a gap, fetch the alerts that fired in the meantime.
    source.onopen = showNewSoon;
    source.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      tabs.postMessage("changed");
      alertChanged();
      showNewSoon();
      if (message.type === "alert" && message.data.alert.state === "resolved") showOver(message.data.alert);
    };
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED || signal.aborted) return;
      timer = setTimeout(connect, RETRY_MS);
    };
  };
  connect();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      showNewSoon.cancel();
      source?.close();
      resolve(undefined);
    });
  });
}

/** Alerts of severity info are shown only for watched trainings. @param {API.Alert} alert @param {string[]} watched */
const isRelevant = ({ severity, labels }, watched) => severity !== "info" || watched.includes(labels.task_id);

async function showNew() {
  /** @type {API.AlertList} */
  const { alerts } = await request(`/alerts?state=firing&limit=${MAX_COUNT}`);
  const [known, watched] = [listed("notified"), listed("watched")];
  const fresh = alerts.filter((alert) => !known.includes(alert.alert_id) && isRelevant(alert, watched));
  if (!fresh.length) return;
  // Stored before they are shown: a lost notification is better than a repeated one.
  list("notified", [...known, ...fresh.map(({ alert_id: id }) => id)]);
  if (fresh.length <= MAX_AT_ONCE) for (const alert of fresh) await show(alert, false);
  else {
    const { translateAlert } = await import("./alert_text.js");
    const title = t("bell.n", { n: fresh.length, severity: labelFor("severity", fresh[0].severity) });
    const body = fresh.map((alert) => `${signOf(alert)} ${translateAlert(alert).summary}`).join("\n");
    showNotice(title, { body, tag: "alerts" }, "/alerts");
  }
}

/** @param {API.Alert} alert */
async function showOver(alert) {
  const isKnown = listed("notified").includes(alert.alert_id);
  // The end of a training does not resolve.
  if (isKnown && alert.severity !== "info") await show(alert, true);
}

/** Symbols as in the service's own messages. @type {Record<string, string>} */
const SIGNS = { critical: "❌", warning: "⚠️", info: "ℹ️", training_failed: "❌", training_finished: "✅" };

/** @param {API.Alert} alert */
const signOf = ({ rule_id: rule, severity }) => SIGNS[rule] ?? SIGNS[severity];

/** @param {API.Alert} alert @param {boolean} isOver */
async function show(alert, isOver) {
  const { translateAlert, translateEnd } = await import("./alert_text.js");
  const { summary, remedy } = translateAlert(alert);
  const title = isOver ? `✅ ${translateEnd(alert)}` : `${signOf(alert)} ${summary}`;
  const options = { body: isOver ? "" : remedy, tag: alert.alert_id, lang: language, silent: isOver };
  showNotice(title, options, `/alerts?alert=${encodeURIComponent(alert.alert_id)}`);
}

/** @param {string} title @param {NotificationOptions} options @param {string} address */
function showNotice(title, options, address) {
  try {
    const notice = new Notification(title, options);
    notice.onclick = () => {
      focus();
      location.hash = address;
      notice.close();
    };
  } catch {
    // Mobile browsers show those of service workers only.
    import("./notify_worker.js").then(({ showByWorker }) => showByWorker(title, options, address)).catch(switchOff);
  }
}

if (canNotify) notifyWhileOn();
