// The plan of a sweep: its trainings with their values, time and disk space.

import { t, translate } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { bytes, count, duration, figure, isKnown, UNKNOWN } from "../../ui/format.js";
import { note } from "../../ui/status.js";
import { table } from "../../ui/table.js";
import { pointerLabel, showValue } from "./draft.js";

/** @param {API.SweepPlan} plan @returns {Child} */
export function sweepPlanView(plan) {
  /** @param {WordKey} key @param {string|null} value @returns {Child} */
  const fact = (key, value) => value !== null && [h("dt", t(key)), h("dd", value)];
  const size = isKnown(plan.disk_bytes) ? bytes(plan.disk_bytes) : null;
  const disk = size && plan.disk_is_minimum ? t("plan.disk.least", { size }) : size;
  const rows = plan.trainings.map((each, at) =>
    h(
      "tr",
      { data: each.valid ? {} : { tone: "bad" }, title: each.name },
      h("td.num", count(at + 1)),
      plan.varied.map(({ pointer }) => h("td.foreign", showValue(each.values[pointer]))),
      h("td.num", isKnown(each.total_steps) ? count(each.total_steps) : UNKNOWN),
      h("td", isKnown(each.estimated_duration) ? duration(each.estimated_duration) : UNKNOWN),
      h("td", isKnown(each.disk_bytes) ? bytes(each.disk_bytes) : UNKNOWN),
    ),
  );
  const heads = [
    "#",
    ...plan.varied.map(({ pointer }) => pointerLabel(pointer)),
    t("steps.range"),
    t("plan.duration"),
    t("plan.disk"),
  ];
  return [
    h(
      "dl.facts",
      fact("sweep.trainings", count(plan.total)),
      fact("sweep.duration", isKnown(plan.total_duration) ? duration(plan.total_duration) : t("unknown")),
      fact("sweep.gpu_hours", isKnown(plan.gpu_hours) ? figure(plan.gpu_hours) : t("unknown")),
      fact("plan.disk", disk),
    ),
    table(heads, rows, "sweep-plan"),
    plan.early_stop &&
      note("idle", h("strong", t("sweep.rule")), h("p", translate(plan.early_stop.rule, plan.early_stop.rule_code))),
  ];
}
