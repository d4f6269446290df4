// Processes that use a GPU's memory, from its details.

import { t, translate } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { gigabytes, UNKNOWN } from "../../ui/format.js";
import { headings, table } from "../../ui/table.js";
import { time } from "../../ui/time.js";

const SHOWN = 4;

/** A short list for a card. */
export function holders() {
  const element = h("div.holders");
  return {
    element,
    /** @param {API.Process[]|null} found null: the list is not available */
    update(found) {
      const processes = found ?? [];
      const rows = processes
        .slice(0, SHOWN)
        .map((process) =>
          h(
            "li",
            { title: process.command ?? "" },
            h("span.mono.num", process.memory === null ? UNKNOWN : `${gigabytes(process.memory)} GB`),
            h("span.clip.foreign", process.command === null ? t("process.unknown") : shorten(process.command)),
            h("span.faint.nowrap", [process.user, process.pid].filter((part) => part !== null).join(" · ")),
          ),
        );
      const more = processes.length - SHOWN;
      fill(
        element,
        rows.length > 0 && h("h3", t("holders")),
        h("ul", rows),
        more > 0 && h("p.faint.tiny", t("more", { n: more })),
      );
      element.hidden = rows.length === 0;
    },
  };
}

/** A command without the directories of its paths: python -u …/train.py @param {string} command */
const shorten = (command) => command.replace(/^\S*\//, "").replace(/(^|[\s=])\/\S*\/(?=[^\s/])/g, "$1…/");

/** The table of all processes with details. @param {API.GPUProcesses} found @param {API.GPUDetails} gpu */
export function processTable(found, gpu) {
  if (gpu.stale || gpu.status === "lost") return h("p.faint.small", t("process.unread"));
  const note = translate(found.note ?? "", found.note_code);
  if (!found.processes) return h("p.faint.small", note || t("process.unread"));
  if (!found.processes.length) return h("p.faint.small", t("process.none"), " ", note);
  const rows = found.processes.map((process) =>
    h(
      "tr",
      h("td.num", process.pid),
      h("td.num", process.memory === null ? UNKNOWN : `${gigabytes(process.memory)} GB`),
      h("td", process.user ?? UNKNOWN),
      h("td", process.task_id ? h("a", { href: taskAddress(process.task_id) }, process.task_id) : UNKNOWN),
      h("td", process.started_at ? time(process.started_at) : UNKNOWN),
      h("td.mono.foreign", process.command ?? UNKNOWN),
    ),
  );
  return h(
    "div",
    table(headings("process.pid", "gpu.memory", "process.user", "task", "process.since", "process.command"), rows),
    found.note && h("p.faint.small", translate(found.note, found.note_code)),
  );
}
