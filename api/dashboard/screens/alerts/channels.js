// The list of channels, their state, and tests.

import { whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { labelFor, t } from "../../app/i18n.js";
import { actionButton, guarded } from "../../ui/buttons.js";
import { askSure } from "../../ui/dialog.js";
import { fill, h, reconcile } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { menuButton } from "../../ui/menu.js";
import { empty, loading } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { time } from "../../ui/time.js";
import { ADDRESS_KINDS, kindOf } from "./addresses.js";
import { settingsText } from "./channel_settings.js";

/** @type {import("./view.js").MakePart} */
export function channelsPart() {
  const [state, list] = [h("div", loading()), h("div.alert-grid")];
  const total = h("span.count-badge");
  const denied = whyNot("alerts:manage");
  /** @type {Map<string, ReturnType<typeof channelCard>>} */
  const cards = new Map();
  const add = actionButton("primary small", denied, () => edit(null), icon("plus"), t("channel.new"));

  /** @param {API.Channel|null} channel */
  async function edit(channel) {
    const { askForChannel } = await import("./channel_form.js");
    if (await askForChannel(channel)) await refetch();
  }

  async function refetch() {
    const { channels } = await alertApi.channels();
    fill(total, count(channels.length));
    fill(state, !channels.length && h("section.panel", empty("send", t("channels.none"))));
    reconcile(
      list,
      cards,
      channels,
      ({ channel_id: id }) => id,
      () => channelCard(denied, edit, refetch),
    );
  }

  return {
    element: h(
      "div.stack",
      h(
        "div.screen-head",
        h("h2", t("alerts.tab.channels")),
        total,
        h("p.soft.small.grow", t("channels.text")),
        h("div.tools", add),
      ),
      denied && note("idle", h("p", denied)),
      state,
      list,
    ),
    refetch,
    isLive: true,
    close() {
      for (const card of cards.values()) card.close();
    },
  };
}

/**
 * Working, failing, suspended or off.
 * @param {API.Channel} channel @returns {[tone: string, sign: import("../../ui/icons.js").IconName, key: WordKey]}
 */
function stateOf({ enabled, disabled_reason: aside, failures, last_success_at: success }) {
  if (aside) return ["bad", "cross", "channel.suspended"];
  if (!enabled) return ["idle", "pause", "channel.off"];
  if (failures) return ["warn", "warn", "channel.failing"];
  return success ? ["ok", "check", "channel.works"] : ["idle", "question", "channel.untried"];
}

/** @param {string|null} denied @param {(channel: API.Channel) => Promise<void>} edit @param {() => Promise<void>} refetch */
function channelCard(denied, edit, refetch) {
  const element = h("article.alert-card.channel-card");
  const [head, result] = [h("div.stack.tight"), h("div", { "aria-live": "polite" })];
  const stop = new AbortController();
  let drawn = "";
  element.append(head, result);

  /** @param {API.Channel} channel */
  async function test(channel) {
    const { delivery_id: id } = await alertApi.testChannel(channel.channel_id);
    await followTest(channel.channel_id, id, (shown) => fill(result, shown), stop.signal);
    await refetch();
  }

  /** @param {API.Channel} channel */
  async function remove(channel) {
    const isSure = await askSure({
      title: t("channel.delete.title"),
      text: [h("p", h("strong.foreign", channel.name)), h("p", t("channel.delete.text"))],
      action: t("channel.delete.do"),
    });
    if (!isSure) return;
    await alertApi.deleteChannel(channel.channel_id);
    await refetch();
  }

  /** @param {API.Channel} channel */
  async function toggle(channel) {
    await alertApi.changeChannel(channel.channel_id, { enabled: !channel.enabled || Boolean(channel.disabled_reason) });
    await refetch();
  }

  /** @param {API.Channel} channel @returns {import("../../ui/menu.js").Choice[]} */
  const more = (channel) => {
    const isOff = !channel.enabled || Boolean(channel.disabled_reason);
    return [
      {
        label: t(isOff ? "switch.on" : "switch.off"),
        icon: isOff ? "play" : "pause",
        denied,
        run: guarded(denied, () => toggle(channel)),
      },
      { label: t("delete"), icon: "trash", danger: true, denied, run: guarded(denied, () => remove(channel)) },
    ];
  };

  /** @param {API.Channel} channel */
  function update(channel) {
    const key = JSON.stringify(channel);
    if (key === drawn) return;
    drawn = key;
    const kind = kindOf(channel.address);
    const [tone, sign, textKey] = stateOf(channel);
    element.dataset.tone = tone;
    element.dataset.channel = channel.name;
    fill(
      head,
      h(
        "header",
        h("span.kind-sign", icon(ADDRESS_KINDS[kind].sign)),
        h("h3.foreign.grow", channel.name),
        h("span.status.chip", { data: { tone } }, icon(sign), t(textKey)),
      ),
      h("p.small.soft", labelFor("channel.kind", kind), " · ", h("code.foreign", channel.address)),
      h("p.small", settingsText(channel)),
      channel.from_environment && h("p.small.soft", t("channel.environment")),
      h(
        "p.small.faint",
        channel.last_success_at ? [t("channel.last"), " ", time(channel.last_success_at)] : t("channel.never.sent"),
      ),
      (channel.disabled_reason ?? (channel.failures ? channel.last_error : null)) &&
        note("warn", h("p.foreign", channel.disabled_reason ?? channel.last_error)),
      h(
        "footer",
        actionButton("small", denied, () => test(channel), icon("send"), t("channel.test")),
        !channel.from_environment &&
          actionButton("small", denied, () => edit(channel), icon("pen"), t("channel.change")),
        h("span.grow"),
        !channel.from_environment && menuButton(t("actions.of", { name: channel.name }), () => more(channel)),
      ),
    );
  }
  return { element, update, close: () => stop.abort() };
}

const POLL_MS = 500;
/** A receiver has 45 s; a failed delivery is retried a few seconds later. */
const TIMEOUT_MS = 60_000;

/**
 * Polls until the delivery has ended or failed once.
 * @param {string} channel @param {string} id @param {(shown: Child) => void} show @param {AbortSignal} signal
 */
async function followTest(channel, id, show, signal) {
  show(note("run", h("p", t("test.on_its_way"))));
  const end = Date.now() + TIMEOUT_MS;
  while (!signal.aborted && Date.now() < end) {
    const { deliveries } = await alertApi.deliveries({ channel_id: channel, limit: 20 });
    const found = deliveries.find(({ delivery_id: each }) => each === id);
    const result = found && outcome(found);
    if (result) return show(result);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  if (!signal.aborted) show(note("warn", h("p", t("test.still"))));
}

/** The result, or null while it is unknown. @param {API.Delivery} delivery @returns {HTMLElement|null} */
function outcome({ state, status, result, attempts, not_before: next }) {
  const answer = h("p.foreign", [status && `HTTP ${status}`, result].filter(Boolean).join(" · "));
  if (state === "delivered") return note("ok", h("strong", t("test.delivered")));
  if (state === "rejected" || state === "expired") return note("bad", h("strong", t("test.rejected")), answer);
  if (state !== "waiting" || !attempts) return null;
  return note("warn", h("strong", t("test.failed")), answer, next && h("p", t("delivery.next"), " ", time(next)));
}
