// Active alerts, which every screen shows in the bell.

import { access, has } from "../../app/access.js";
import { request } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { Store } from "../../app/store.js";

/** Most alerts in the bell's list; the counts include all. */
const SHOWN = 100;
/** Pause that combines bursts of changes. */
const PAUSE_MS = 300;

/** @typedef {{alerts: API.Alert[], counts: API.AlertCounts}} Firing */

/** Null while unknown. */
export const firing = new Store(/** @type {Firing|null} */ (null));

/** Whether the user may see alerts. */
export const canSeeAlerts = () => has("alerts:read") && !(access.value?.isRequired && !access.value.who);

let requests = 0;

/** Fetches active alerts. Never throws; on failure the state is unknown. */
export async function refetchFiring() {
  const mine = ++requests;
  /** @type {Firing|null} */
  let found = null;
  if (canSeeAlerts()) found = await request(`/alerts?state=firing&limit=${SHOWN}`).catch(() => null);
  if (mine === requests) firing.set(found);
}

/** Called when an alert has changed. */
export const alertChanged = soon(refetchFiring, PAUSE_MS);

/** Highest severity first, then newest first. @param {API.Alert[]} alerts */
export const bySeverity = (alerts) =>
  alerts.toSorted(
    (a, b) => WEIGHTS.indexOf(a.severity) - WEIGHTS.indexOf(b.severity) || Date.parse(b.since) - Date.parse(a.since),
  );

const WEIGHTS = /** @type {const} */ (["critical", "warning", "info"]);

/**
 * The count in the bell. Alerts of severity info, such as the end of a training, are listed but not counted.
 * @param {Firing} what @returns {{count: number, gravest: "critical"|"warning"|null}}
 */
export function loudOf({ alerts, counts }) {
  const loud = alerts.filter(({ severity }) => severity !== "info");
  // If the list is incomplete, the number of info alerts is unknown.
  const count = counts.firing > alerts.length ? counts.firing : loud.length;
  return { count, gravest: counts.critical ? "critical" : count ? "warning" : null };
}
