// The list of silences.

import { whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { pagerOf } from "../../ui/pager.js";
import { segments } from "../../ui/segments.js";
import { empty, loading, stackedTable } from "../../ui/states.js";
import { time } from "../../ui/time.js";
import { attempt, toast } from "../../ui/toast.js";
import { whyNotMuted } from "./actions.js";
import { askForSilence } from "./new_silence.js";
import { refetchFiring } from "./state.js";

const ROWS = 25;

/** @type {import("./view.js").MakePart} */
export function silencesPart() {
  const body = h("div", {}, loading());
  const foot = h("div", { class: "pager" });
  let [offset, requests] = [0, 0];
  /** @type {"open"|"all"} */
  let which = "open";
  const filter = segments(
    t("silences.which"),
    [
      { value: /** @type {const} */ ("open"), label: t("silences.open") },
      { value: /** @type {const} */ ("all"), label: t("filter.all") },
    ],
    which,
    (value) => {
      which = value;
      offset = 0;
      attempt(refetch);
    },
  );
  const denied = whyNot("alerts:write");
  const make = h(
    "button",
    {
      class: "button primary small",
      "aria-disabled": denied ? "true" : null,
      title: denied,
      on: { click: () => (denied ? toast("bad", denied) : attempt(add)) },
    },
    icon("plus"),
    t("silence.new"),
  );

  async function add() {
    if (await askForSilence()) await Promise.all([refetch(), refetchFiring()]);
  }

  /** @param {API.Silence} silence */
  const end = (silence) =>
    attempt(async () => {
      await alertApi.endSilence(silence.silence_id);
      toast("ok", t("silence.ended"));
      await Promise.all([refetch(), refetchFiring()]);
    });

  async function refetch() {
    const mine = ++requests;
    const found = await alertApi.silences({ ended: which === "all" ? "true" : "", limit: ROWS, offset });
    if (mine !== requests) return;
    const { silences, pagination } = found;
    const rows = silences.map((silence) => row(silence, whyNotMuted(silence.owner), end));
    fill(body, rows.length ? stackedTable(HEADS(), rows, "silences-table") : empty("mute", t("silences.none")));
    const goTo = (/** @type {number} */ to) => {
      offset = to;
      attempt(refetch);
    };
    fill(foot, pagerOf({ offset, limit: ROWS }, silences.length, pagination, goTo));
  }

  return {
    element: h(
      "section",
      { class: "panel access-list", "aria-label": t("alerts.tab.silences") },
      h("header", {}, h("h2", {}, t("alerts.tab.silences")), h("div", { class: "tools" }, filter.element, make)),
      h("p", { class: "soft small panel-text" }, t("silences.text")),
      body,
      foot,
    ),
    refetch,
  };
}

const HEADS = () => [
  { label: t("silence.what") },
  { label: t("silence.why") },
  { label: t("silence.who") },
  { label: t("silence.from") },
  { label: t("until") },
  { label: t("actions") },
];

/** @param {{label: string, value: string, is_glob?: boolean}[]} matchers */
export const matcherList = (matchers) =>
  h(
    "span",
    { class: "matchers" },
    matchers.map(({ label, value, is_glob: isGlob }) =>
      h("code", { class: "tag foreign" }, `${label} ${isGlob ? "≈" : "="} ${value}`),
    ),
  );

/** @param {API.Silence} silence @param {string|null} denied @param {(silence: API.Silence) => unknown} end */
function row(silence, denied, end) {
  const isOver = !silence.is_active && Date.parse(silence.ends_at) <= Date.now();
  const button = h(
    "button",
    {
      class: "button small",
      "aria-disabled": denied ? "true" : null,
      title: denied,
      on: { click: () => (denied ? toast("bad", denied) : end(silence)) },
    },
    icon("bell"),
    t("silence.end"),
  );
  return h(
    "tr",
    { data: { silence: silence.silence_id }, class: isOver ? "faint" : "" },
    h("td", {}, matcherList(silence.matchers)),
    h("td", { class: "foreign" }, silence.comment),
    h("td", { class: "foreign" }, silence.author),
    h("td", {}, time(silence.starts_at)),
    h("td", {}, time(silence.ends_at)),
    h("td", {}, isOver ? t("silence.over") : button),
  );
}
