// The state of the machine that every screen shares: the latest snapshot of the GPUs, and how old it is.

import { isKnown, seconds } from "../ui/format.js";
import { Store } from "./store.js";

/** Data of /gpu/status, or null before the first. */
export const machine = new Store(/** @type {API.Snapshot|null} */ (null));

/** How far the service's clock is ahead of this one, in seconds: ages are told by its clock. */
let ahead = 0;

/** @param {API.Snapshot} snapshot @param {string} [sentAt] the message's time */
export function take(snapshot, sentAt) {
  const sent = seconds(sentAt);
  if (sent !== null) ahead = sent - Date.now() / 1000;
  machine.set(snapshot);
}

/** The service's time, in seconds. */
export const now = () => Date.now() / 1000 + ahead;

/** Seconds since the newest reading of a snapshot; null when nothing has been read. @param {API.Snapshot} snapshot */
export function ageOfReadings({ gpus, timestamp }) {
  const ages = gpus.map((gpu) => ageOf(gpu.read_at)).filter(isKnown);
  return ages.length ? Math.min(...ages) : ageOf(timestamp);
}

/** Seconds since this time, by the service's clock; null when it is unknown. @param {string|null|undefined} iso */
export function ageOf(iso) {
  const time = seconds(iso);
  return time === null ? null : Math.max(0, now() - time);
}
