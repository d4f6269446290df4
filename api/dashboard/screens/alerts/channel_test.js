// What becomes of a message that was sent to try a channel.

import { alertApi } from "../../app/api_alerts.js";
import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { note } from "../../ui/status.js";
import { time } from "../../ui/time.js";

const LOOK_MS = 500;
/** A receiver has 45 s, and what was not taken is tried again a few seconds later. */
const PATIENCE_MS = 60_000;

/** Looks until it has ended, or was tried in vain. @param {string} channel @param {string} id @param {(shown: Child) => void} show @param {AbortSignal} signal */
export async function followTest(channel, id, show, signal) {
  show(note("run", h("p", {}, t("test.on_its_way"))));
  const end = Date.now() + PATIENCE_MS;
  while (!signal.aborted && Date.now() < end) {
    const { deliveries } = await alertApi.deliveries({ channel_id: channel, limit: 20 });
    const found = deliveries.find(({ delivery_id: each }) => each === id);
    const told = found && outcome(found);
    if (told) return show(told);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  if (!signal.aborted) show(note("warn", h("p", {}, t("test.still"))));
}

/** Null while nobody can say. @param {API.Delivery} delivery @returns {HTMLElement|null} */
function outcome({ state, status, result, attempts, not_before: next }) {
  const answer = h("p", { class: "foreign" }, [status && `HTTP ${status}`, result].filter(Boolean).join(" · "));
  if (state === "delivered") return note("ok", h("strong", {}, t("test.delivered")));
  if (state === "rejected" || state === "expired") return note("bad", h("strong", {}, t("test.rejected")), answer);
  if (state !== "waiting" || !attempts) return null;
  return note(
    "warn",
    h("strong", {}, t("test.failed")),
    answer,
    next && h("p", {}, t("delivery.next"), " ", time(next)),
  );
}
