// The request, the trainer's files, and the attempts.

import { labelFor, t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { count, duration, isKnown, seconds, UNKNOWN } from "../../ui/format.js";
import { gpuNames } from "../../ui/gpus.js";
import { segments } from "../../ui/segments.js";
import { table } from "../../ui/table.js";
import { time } from "../../ui/time.js";

/** @type {WordKey[]} */
const COLUMNS = ["attempt", "status", "gpus", "attempt.start", "duration", "steps.range", "attempt.outcome"];

export function requestView() {
  const element = h("section", { class: "panel", "aria-label": t("request") });
  let drawn = "";
  return {
    element,
    /** @param {API.Task} task */
    update(task) {
      /** @type {Record<string, string>} */
      const files = {
        ...task.plan.files,
        [t("request")]: JSON.stringify(task.request, null, 2),
        [t("plan.command")]: task.plan.command.join(" \\\n  "),
      };
      if (JSON.stringify(files) === drawn) return;
      drawn = JSON.stringify(files);
      const names = Object.keys(files);
      const shown = h("pre", { class: "file foreign", tabindex: 0 }, files[names[0]]);
      const choice = segments(
        t("files"),
        names.map((name) => ({ value: name, label: name })),
        names[0],
        (name) => {
          shown.textContent = files[name];
        },
      );
      fill(
        element,
        h("header", {}, h("h2", {}, t("request")), h("div", { class: "tools" }, choice.element)),
        h("div", { class: "body" }, shown),
      );
    },
  };
}

export function attemptsView() {
  const body = h("div", { class: "body" });
  const element = h(
    "section",
    { class: "panel", "aria-label": t("attempts") },
    h("header", {}, h("h2", {}, t("attempts"))),
    body,
  );
  return {
    element,
    /** @param {API.Task} task */
    update({ attempts, progress }) {
      element.hidden = attempts.length === 0;
      const heads = COLUMNS.map((key) => ({ label: t(key) }));
      const rows = [...attempts].reverse().map((attempt) => attemptRow(attempt, progress.current_step));
      fill(body, table(heads, rows));
    },
  };
}

/** @param {API.Attempt} attempt @param {number|null} step the current step */
function attemptRow(attempt, step) {
  const [from, to] = [seconds(attempt.started_at), seconds(attempt.ended_at)];
  const last = to === null ? step : attempt.last_step;
  const steps = isKnown(attempt.first_step) ? `${count(attempt.first_step)} – ${count(last)}` : UNKNOWN;
  const end = attempt.failure
    ? labelFor("cause", attempt.failure.code)
    : isKnown(attempt.signal)
      ? t("signal", { n: attempt.signal })
      : isKnown(attempt.exit_code)
        ? t("exit.code", { n: attempt.exit_code })
        : UNKNOWN;
  return h(
    "tr",
    {},
    h("td", {}, attempt.number, attempt.resumed_from && h("span", { class: "faint" }, ` ← ${attempt.resumed_from}`)),
    h("td", {}, labelFor("attempt", attempt.status)),
    h("td", {}, gpuNames(attempt.gpu_ids)),
    h("td", {}, attempt.started_at ? time(attempt.started_at) : UNKNOWN),
    h("td", {}, from !== null && to !== null ? duration(to - from) : UNKNOWN),
    h("td", {}, steps),
    h("td", { class: attempt.failure ? "bad" : "soft" }, end),
  );
}
