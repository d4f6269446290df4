// What a training went through: a band of its statuses and stages over time, with its checkpoints; below it each event.

import { fill, h } from "../../dom.js";
import { duration, seconds, utcTime } from "../../format.js";
import { t, tell, word } from "../../i18n.js";
import { isFinished } from "../../components/status.js";
import { scrollable } from "../../components/scroll.js";
import { time } from "../../components/time.js";
import { now } from "../../machine.js";

const TONES = { failed: "bad", stopping: "warn", warning: "warn", completed: "ok" };

/** Stretches of one status or stage. */
function stretches(events, end) {
  const found = [];
  for (const event of events) {
    if (event.type !== "status" && event.type !== "stage") continue;
    const at = seconds(event.timestamp);
    if (found.length) found.at(-1).to = at;
    if (event.type === "status" && isFinished(event.current)) continue;
    const isRunning = event.type === "status" && event.current === "running";
    found.push({
      name: event.current,
      label: event.type === "stage" || isRunning ? word("stage", event.current) : word("task", event.current),
      from: at,
      to: end,
    });
  }
  return found.filter(({ from, to }) => to > from);
}

export function timeline() {
  const band = h("div", { class: "band" });
  const legend = h("div", { class: "legend band-legend" });
  const list = h("ol", { class: "event-list" });
  const element = h(
    "section",
    { class: "panel timeline", "aria-label": t("timeline") },
    h("header", {}, h("h2", {}, t("timeline"))),
    h("div", { class: "body" }, band, legend, scrollable(h("div", { class: "table-scroll" }, list), list)),
  );
  return {
    element,
    update(events, task) {
      const start = seconds(task.created_at);
      const end = isFinished(task.status) ? seconds(task.finished_at) : now();
      const whole = Math.max(end - start, 1);
      const parts = stretches(events, end);
      const marks = events.filter((event) => event.type === "checkpoint");
      fill(
        band,
        parts.map((part) => {
          const piece = h("span", {
            class: `stretch stage-${part.name}`,
            title: `${part.label} · ${duration(part.to - part.from)}`,
          });
          piece.style.left = `${(100 * (part.from - start)) / whole}%`;
          piece.style.width = `${(100 * (part.to - part.from)) / whole}%`;
          return piece;
        }),
        marks.map((event) => {
          const tick = h("span", { class: "tick", title: `${tell(event.message, event.message_code)} · ${utcTime(event.timestamp)}` });
          tick.style.left = `${Math.min(100, (100 * (seconds(event.timestamp) - start)) / whole)}%`;
          return tick;
        }),
      );
      fill(
        legend,
        sums(parts).map(([name, label, length]) =>
          h("span", {}, h("i", { class: `key stage-${name}` }), label, h("b", {}, duration(length))),
        ),
        marks.length > 0 && h("span", {}, h("i", { class: "key tick" }), t("checkpoints.n", { n: marks.length })),
      );
      fill(
        list,
        [...events]
          .reverse()
          .map((event) =>
            h(
              "li",
              { data: { tone: TONES[event.current] ?? TONES[event.type] ?? "idle" } },
              time(event.timestamp),
              h(
                "div",
                { class: "grow" },
                h("p", { class: "foreign" }, tell(event.message, event.message_code)),
                h("p", { class: "faint tiny" }, [word("event", event.type), event.actor && word("actor", event.actor)].filter(Boolean).join(" · ")),
              ),
            ),
          ),
      );
    },
  };
}

function sums(parts) {
  const by = new Map();
  for (const { name, label, from, to } of parts) by.set(name, [name, label, (by.get(name)?.[2] ?? 0) + to - from]);
  return [...by.values()];
}
