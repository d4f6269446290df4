// The list of sweeps.

import { api } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t } from "../../app/i18n.js";
import { sweepAddress } from "../../app/router.js";
import { h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { pagedTable } from "../../ui/paged_table.js";
import { panel } from "../../ui/panel.js";
import { sections } from "../../ui/sections.js";
import { empty } from "../../ui/states.js";
import { headings } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { pointerLabel } from "../start/draft.js";

// Events of one change come in bursts.
const REFETCH_PAUSE_MS = 1000;

/** @param {import("../../app/main.js").App} app @returns {import("../../app/main.js").Screen} */
export function open(app) {
  const list = pagedTable({
    className: "sweeps-table",
    heads: headings("name", "sweep.varied", "sweep.trainings", "origin.created"),
    row,
    none: () => empty("sliders", t("sweeps.none")),
    async ask({ limit, cursor }) {
      const { sweeps, pagination } = await api.sweeps({ limit, cursor });
      return { rows: sweeps, pagination };
    },
  });
  const refetchSoon = soon(() => list.refetch().catch(() => app.stream.retry()), REFETCH_PAUSE_MS);
  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.tasks")), sections("tasks", "#/sweeps")),
      panel("", t("sweeps"), list.total, list.body, list.foot),
    ),
    title: () => t("sweeps"),
    topics: "gpu,task,system",
    on: { status: () => refetchSoon() },
    refetch: list.refetch,
    close: () => refetchSoon.cancel(),
  };
}

/** @param {API.SweepRow} sweep */
function row(sweep) {
  const counts = Object.entries(sweep.counts).filter(([, number]) => number);
  return h(
    "tr",
    h("td", h("a.foreign", { href: sweepAddress(sweep.sweep_id) }, sweep.name)),
    h("td", sweep.varied.map(({ pointer }) => pointerLabel(pointer)).join(t("list.comma"))),
    h("td", counts.map(([status, number]) => `${labelFor("task", status)}: ${count(number)}`).join(t("list.comma"))),
    h("td.faint", time(sweep.created_at)),
  );
}
