// What fires at present: the one thing about alerts that every screen shows.

import { access, has } from "../../app/access.js";
import { ask } from "../../app/api.js";
import { soon } from "../../app/soon.js";
import { Store } from "../../app/store.js";

/** Alerts that the bell's list holds; the count goes on. */
const SHOWN = 100;
/** Of a burst only what it comes to is asked for. */
const PAUSE_MS = 300;

/** @typedef {{alerts: API.Alert[], counts: API.AlertCounts}} Firing */

/** Null while it is not known. */
export const firing = new Store(/** @type {Firing|null} */ (null));

/** Whether one may see alerts at all. */
export const maySee = () => has("alerts:read") && !(access.value?.asks && !access.value.who);

let asked = 0;

/** Asks for what fires. Never throws: what cannot be had is not known. */
export async function refetchFiring() {
  const mine = ++asked;
  /** @type {Firing|null} */
  let found = null;
  if (maySee()) found = await ask(`/alerts?state=firing&limit=${SHOWN}`).catch(() => null);
  if (mine === asked) firing.set(found);
}

/** Something has become of an alert. */
export const hearOfAlert = soon(refetchFiring, PAUSE_MS);

/** The gravest first, and of these the newest. @param {API.Alert[]} alerts */
export const byWeight = (alerts) =>
  alerts.toSorted(
    (a, b) => WEIGHTS.indexOf(a.severity) - WEIGHTS.indexOf(b.severity) || Date.parse(b.since) - Date.parse(a.since),
  );

const WEIGHTS = /** @type {const} */ (["critical", "warning", "info"]);

/**
 * What the bell shouts: notices, such as that a training has finished, are in its list and not in its count.
 * @param {Firing} what @returns {{count: number, gravest: "critical"|"warning"|null}}
 */
export function loudOf({ alerts, counts }) {
  const loud = alerts.filter(({ severity }) => severity !== "info");
  // Of more than the list holds nobody knows how many are notices.
  const count = counts.firing > alerts.length ? counts.firing : loud.length;
  return { count, gravest: counts.critical ? "critical" : count ? "warning" : null };
}
