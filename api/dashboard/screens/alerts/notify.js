// Notifications of the browser: one for each alert, however many tabs are open and however often they are loaded anew.
// The tab that holds a lock listens and shows them, also while nobody looks at it; the others wait for the lock.

import { access } from "../../app/access.js";
import { ask, streamURL } from "../../app/api.js";
import { language, t, word } from "../../app/i18n.js";
import { recall, remember } from "../../app/settings.js";
import { soon } from "../../app/soon.js";
import { Store } from "../../app/store.js";
import { hearOfAlert, maySee } from "./state.js";

const LOCK = "diffusion-pipe-alerts";
/** Alerts that are remembered as shown, and trainings whose end is waited for. */
const MOST = 300;
/** More at once are one notification. */
const AT_ONCE = 3;
const PAUSE_MS = 300;
const RETRY_MS = 5000;

/** Browsers give notifications, and locks between tabs, to pages that nobody can have changed on the way. */
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
const list = (name, ids) => remember(name, JSON.stringify(ids.slice(-MOST)));

/** Asks the browser, which asks whoever has clicked. Gives whether notifications are shown from now on. */
export async function switchOn() {
  if (!canNotify || (await Notification.requestPermission()) !== "granted") return false;
  remember("notify", "on");
  // What fires already is known to who has just looked.
  await ask(`/alerts?state=firing&limit=${MOST}`).then(
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

/** Whether the end of a training is told here. @param {string} id */
export const isWatched = (id) => isOn() && listed("watched").includes(id);

/** @param {string} id @param {boolean} is */
export const watch = (id, is) =>
  list("watched", [...listed("watched").filter((each) => each !== id), ...(is ? [id] : [])]);

/** @type {AbortController|null} */
let waiting = null;

/** Listens for as long as notifications are on and alerts may be seen. */
function notifyWhileOn() {
  const tabs = new BroadcastChannel(LOCK);
  tabs.onmessage = () => hearOfAlert();
  const begin = () => {
    const should = isOn() && maySee();
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
  // Another tab has switched it on or off.
  addEventListener("storage", () => isOn() !== notifies.value && notifies.set(isOn()));
}

/** Listens, and shows what fires, until it is ended. @param {BroadcastChannel} tabs @param {AbortSignal} signal */
function lead(tabs, signal) {
  /** @type {EventSource|null} */
  let source = null;
  let timer = 0;
  const look = soon(() => showNew().catch(() => {}), PAUSE_MS);
  const connect = () => {
    source = new EventSource(streamURL("/alerts/stream"));
    // After a gap what has fired meanwhile is looked for.
    source.onopen = look;
    source.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      tabs.postMessage("changed");
      hearOfAlert();
      look();
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
      look.cancel();
      source?.close();
      resolve(undefined);
    });
  });
}

/** Notices are told only where a training's end is waited for. @param {API.Alert} alert @param {string[]} watched */
const isWanted = ({ severity, labels }, watched) => severity !== "info" || watched.includes(labels.task_id);

async function showNew() {
  /** @type {API.AlertList} */
  const { alerts } = await ask(`/alerts?state=firing&limit=${MOST}`);
  const [known, watched] = [listed("notified"), listed("watched")];
  const fresh = alerts.filter((alert) => !known.includes(alert.alert_id) && isWanted(alert, watched));
  if (!fresh.length) return;
  // Before they are shown: better none than the same again.
  list("notified", [...known, ...fresh.map(({ alert_id: id }) => id)]);
  if (fresh.length <= AT_ONCE) for (const alert of fresh) await show(alert, false);
  else {
    const { tellAlert } = await import("./told.js");
    const title = t("bell.n", { n: fresh.length, severity: word("severity", fresh[0].severity) });
    const body = fresh.map((alert) => `${signOf(alert)} ${tellAlert(alert).summary}`).join("\n");
    showNotice(title, { body, tag: "alerts" }, "/alerts");
  }
}

/** @param {API.Alert} alert */
async function showOver(alert) {
  const isKnown = listed("notified").includes(alert.alert_id);
  // That a training has ended does not end.
  if (isKnown && alert.severity !== "info") await show(alert, true);
}

/** The signs of the service's own messages. @type {Record<string, string>} */
const SIGNS = { critical: "❌", warning: "⚠️", info: "ℹ️", training_failed: "❌", training_finished: "✅" };

/** @param {API.Alert} alert */
const signOf = ({ rule_id: rule, severity }) => SIGNS[rule] ?? SIGNS[severity];

/** @param {API.Alert} alert @param {boolean} isOver */
async function show(alert, isOver) {
  const { tellAlert, tellEnd } = await import("./told.js");
  const { summary, remedy } = tellAlert(alert);
  const title = isOver ? `✅ ${tellEnd(alert)}` : `${signOf(alert)} ${summary}`;
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
    // Browsers of phones show notifications of installed pages only.
    switchOff();
  }
}

if (canNotify) notifyWhileOn();
