// The list of silences.

import { access, has, whyNot } from "../../app/access.js";
import { alertApi } from "../../app/api_alerts.js";
import { newKey } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { h } from "../../ui/dom.js";
import { field, selectInput } from "../../ui/fields.js";
import { askForm } from "../../ui/form_dialog.js";
import { icon } from "../../ui/icons.js";
import { pagedTable } from "../../ui/paged_table.js";
import { panel } from "../../ui/panel.js";
import { segments } from "../../ui/segments.js";
import { empty } from "../../ui/states.js";
import { headings } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { toast } from "../../ui/toast.js";
import { DURATIONS, HOUR_MS, whyNotMuted } from "./actions.js";
import { matcherFields } from "./matchers.js";
import { refetchFiring } from "./state.js";

/** @type {import("./view.js").MakePart} */
export function silencesPart() {
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
      list.restart();
    },
  );
  const denied = whyNot("alerts:write");
  const make = actionButton("primary small", denied, add, icon("plus"), t("silence.new"));

  async function add() {
    if (await askForSilence()) await Promise.all([refetch(), refetchFiring()]);
  }

  /** @param {API.Silence} silence */
  async function end(silence) {
    await alertApi.endSilence(silence.silence_id);
    toast("ok", t("silence.ended"));
    await Promise.all([refetch(), refetchFiring()]);
  }

  const list = pagedTable({
    className: "silences-table",
    heads: headings("silence.what", "silence.why", "silence.who", "silence.from", "until", "actions"),
    row: (/** @type {API.Silence} */ silence) => row(silence, whyNotMuted(silence.owner), end),
    none: () => empty("mute", t("silences.none")),
    async ask({ limit, offset }) {
      const { silences, pagination } = await alertApi.silences({ ended: which === "all" ? "true" : "", limit, offset });
      return { rows: silences, pagination };
    },
  });
  const { refetch } = list;

  return {
    element: panel(
      "access-list",
      t("alerts.tab.silences"),
      h("div.tools", filter.element, make),
      h("p.soft.small.panel-text", t("silences.text")),
      list.body,
      list.foot,
    ),
    refetch,
  };
}

/** @param {{label: string, value: string, is_glob?: boolean}[]} matchers */
const matcherList = (matchers) =>
  h(
    "span.matchers",
    matchers.map(({ label, value, is_glob: isGlob }) =>
      h("code.tag.foreign", `${label} ${isGlob ? "≈" : "="} ${value}`),
    ),
  );

/** @param {API.Silence} silence @param {string|null} denied @param {(silence: API.Silence) => unknown} end */
function row(silence, denied, end) {
  const isOver = !silence.is_active && Date.parse(silence.ends_at) <= Date.now();
  const button = actionButton("small", denied, () => end(silence), icon("bell"), t("silence.end"));
  return h(
    "tr",
    { data: { silence: silence.silence_id }, class: isOver ? "faint" : "" },
    h("td", matcherList(silence.matchers)),
    h("td.foreign", silence.comment),
    h("td.foreign", silence.author),
    h("td", time(silence.starts_at)),
    h("td", time(silence.ends_at)),
    h("td", isOver ? t("silence.over") : button),
  );
}

/** Hours, including the longest that the service accepts. */
const UP_TO_A_MONTH = /** @type {const} */ ([...DURATIONS, [720, "silence.30d"]]);

/** Opens the form and creates the silence. Resolves to it, or null. @returns {Promise<API.Silence|null>} */
function askForSilence() {
  const once = newKey();
  const [rule, me] = [{ label: "rule", value: "" }, access.value?.who?.user_id];
  const matchers = matcherFields(me && !has("alerts:manage") ? [rule, { label: "owner", value: me }] : [rule]);
  const lasts = selectInput(
    UP_TO_A_MONTH.map(([hours, label]) => [hours, t(label)]),
    { id: "silence-lasts" },
  );
  const comment = h("input.input", { id: "silence-why", required: true, maxlength: 1000 });
  return askForm({
    title: t("silence.new"),
    content: [
      h("p.soft.small", t("silences.text")),
      h("div.field", h("span.label", t("silence.what")), matchers.element),
      field(t("silence.lasts"), lasts),
      field(t("silence.why"), comment),
    ],
    action: [icon("mute"), t("silence.do")],
    async run() {
      const until = new Date(Date.now() + Number(lasts.value) * HOUR_MS).toISOString();
      const body = { matchers: matchers.values(), until, comment: comment.value.trim() };
      const made = await alertApi.silence(body, once);
      toast("ok", t("silence.done"));
      return made;
    },
  });
}
