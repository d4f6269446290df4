// The list of channels, their state, and tests.

import { whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { labelFor, t } from "../../app/i18n.js";
import { askWhich } from "../../ui/dialog.js";
import { fill, h, reconcile } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { menuButton } from "../../ui/menu.js";
import { empty, loading } from "../../ui/states.js";
import { note } from "../../ui/status.js";
import { time } from "../../ui/time.js";
import { attempt, toast } from "../../ui/toast.js";
import { ADDRESS_KINDS, kindOf } from "./addresses.js";
import { settingsText } from "./channel_settings.js";

/** @type {import("./view.js").MakePart} */
export function channelsPart() {
  const [state, list] = [h("div", {}, loading()), h("div", { class: "alert-grid" })];
  const total = h("span", { class: "count-badge" });
  const denied = whyNot("alerts:manage");
  /** @type {Map<string, ReturnType<typeof channelCard>>} */
  const cards = new Map();
  const add = h(
    "button",
    {
      class: "button primary small",
      "aria-disabled": denied ? "true" : null,
      title: denied,
      on: { click: () => (denied ? toast("bad", denied) : attempt(() => edit(null))) },
    },
    icon("plus"),
    t("channel.new"),
  );

  /** @param {API.Channel|null} channel */
  async function edit(channel) {
    const { askForChannel } = await import("./channel_form.js");
    if (await askForChannel(channel)) await refetch();
  }

  async function refetch() {
    const { channels } = await alertApi.channels();
    fill(total, count(channels.length));
    fill(state, !channels.length && h("section", { class: "panel" }, empty("send", t("channels.none"))));
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
      "div",
      { class: "stack" },
      h(
        "div",
        { class: "screen-head" },
        h("h2", {}, t("alerts.tab.channels")),
        total,
        h("p", { class: "soft small grow" }, t("channels.text")),
        h("div", { class: "tools" }, add),
      ),
      denied && note("idle", h("p", {}, denied)),
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
  const element = h("article", { class: "alert-card channel-card" });
  const [head, result] = [h("div", { class: "stack tight" }), h("div", { "aria-live": "polite" })];
  const stop = new AbortController();
  let drawn = "";
  element.append(head, result);

  /** @param {() => unknown} action */
  const permitted = (action) => (denied ? toast("bad", denied) : void attempt(action));
  /** @param {import("../../ui/icons.js").IconName} sign @param {string} label @param {() => unknown} action */
  const button = (sign, label, action) =>
    h(
      "button",
      {
        class: "button small",
        "aria-disabled": denied ? "true" : null,
        title: denied,
        on: { click: () => permitted(action) },
      },
      icon(sign),
      label,
    );

  /** @param {API.Channel} channel */
  async function test(channel) {
    const { delivery_id: id } = await alertApi.testChannel(channel.channel_id);
    await followTest(channel.channel_id, id, (shown) => fill(result, shown), stop.signal);
    await refetch();
  }

  /** @param {API.Channel} channel */
  async function remove(channel) {
    const choice = await askWhich({
      title: t("channel.delete.title"),
      text: [h("p", {}, h("strong", { class: "foreign" }, channel.name)), h("p", {}, t("channel.delete.text"))],
      choices: [{ label: t("channel.delete.do"), value: "yes", kind: "danger sure" }],
    });
    if (!choice) return;
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
        run: () => permitted(() => toggle(channel)),
      },
      { label: t("delete"), icon: "trash", danger: true, denied, run: () => permitted(() => remove(channel)) },
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
        {},
        h("span", { class: "kind-sign" }, icon(ADDRESS_KINDS[kind].sign)),
        h("h3", { class: "foreign grow" }, channel.name),
        h("span", { class: "status chip", data: { tone } }, icon(sign), t(textKey)),
      ),
      h(
        "p",
        { class: "small soft" },
        labelFor("channel.kind", kind),
        " · ",
        h("code", { class: "foreign" }, channel.address),
      ),
      h("p", { class: "small" }, settingsText(channel)),
      channel.from_environment && h("p", { class: "small soft" }, t("channel.environment")),
      h(
        "p",
        { class: "small faint" },
        channel.last_success_at ? [t("channel.last"), " ", time(channel.last_success_at)] : t("channel.never.sent"),
      ),
      (channel.disabled_reason ?? (channel.failures ? channel.last_error : null)) &&
        note("warn", h("p", { class: "foreign" }, channel.disabled_reason ?? channel.last_error)),
      h(
        "footer",
        {},
        button("send", t("channel.test"), () => test(channel)),
        !channel.from_environment && button("pen", t("channel.change"), () => edit(channel)),
        h("span", { class: "grow" }),
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
  show(note("run", h("p", {}, t("test.on_its_way"))));
  const end = Date.now() + TIMEOUT_MS;
  while (!signal.aborted && Date.now() < end) {
    const { deliveries } = await alertApi.deliveries({ channel_id: channel, limit: 20 });
    const found = deliveries.find(({ delivery_id: each }) => each === id);
    const result = found && outcome(found);
    if (result) return show(result);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  if (!signal.aborted) show(note("warn", h("p", {}, t("test.still"))));
}

/** The result, or null while it is unknown. @param {API.Delivery} delivery @returns {HTMLElement|null} */
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
