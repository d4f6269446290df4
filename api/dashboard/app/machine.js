// State of the machine that all screens share: the latest snapshot of the GPUs, and its age.

import { isKnown, seconds } from "../ui/format.js";
import { Store } from "./store.js";

/** Data of /gpu/status, or null before the first response. */
export const machine = new Store(/** @type {API.Snapshot|null} */ (null));

/** How far the service's clock is ahead of the browser's, in seconds. Ages use the service's clock. */
let ahead = 0;

/** @param {API.Snapshot} snapshot @param {string} [sentAt] time of the message */
export function take(snapshot, sentAt) {
  const sent = seconds(sentAt);
  if (sent !== null) ahead = sent - Date.now() / 1000;
  machine.set(snapshot);
}

/** The service's time, in seconds. */
export const now = () => Date.now() / 1000 + ahead;

/** Age of a snapshot's newest reading in seconds, or null if there is no reading. @param {API.Snapshot} snapshot */
export function ageOfReadings({ gpus, timestamp }) {
  const ages = gpus.map((gpu) => ageOf(gpu.read_at)).filter(isKnown);
  return ages.length ? Math.min(...ages) : ageOf(timestamp);
}

/** Seconds since a time, by the service's clock, or null if the time is unknown. @param {string|null|undefined} iso */
export function ageOf(iso) {
  const time = seconds(iso);
  return time === null ? null : Math.max(0, now() - time);
}
