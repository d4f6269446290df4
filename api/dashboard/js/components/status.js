// A status: a colour, a shape and a word, so that none of them is needed alone.

import { h, setAttribute, setText } from "../dom.js";
import { t, word } from "../i18n.js";
import { icon } from "../icons.js";

const TASK = {
  queued: ["idle", "clock"],
  starting: ["run", "spin"],
  running: ["run", "play"],
  stopping: ["warn", "stop"],
  completed: ["ok", "check"],
  stopped: ["idle", "stop"],
  failed: ["bad", "cross"],
};

const GPU = {
  available: ["ok", "check"],
  training: ["run", "play"],
  preprocessing: ["run", "play"],
  busy: ["warn", "square"],
  draining: ["idle", "drain"],
  lost: ["bad", "cross"],
  unknown: ["warn", "question"],
};

const KINDS = { task: TASK, gpu: GPU };

/** Statuses of a task after which nothing changes by itself. */
export const isFinished = (status) => status === "completed" || status === "stopped" || status === "failed";

/** Whether its latest loss was no number: what it learned since is worth nothing, however far it is. */
export const isSpoiled = ({ metrics }) => metrics.nan_steps > 0 && metrics.current_loss === null;

/** Says so beside the status. */
export const spoiledChip = () =>
  h(
    "span",
    { class: "spoiled chip", data: { tone: "warn" }, title: t("nan.last"), hidden: true },
    icon("warn"),
    t("nan.chip"),
  );

export const toneOf = (kind, status) => (KINDS[kind][status] ?? ["idle"])[0];

/** @param {"task"|"gpu"} kind */
export function statusChip(kind) {
  const text = h("span");
  const element = h("span", { class: "status chip" }, icon("circle"), text);
  let shown = null;
  return {
    element,
    update(status) {
      if (status === shown) return;
      shown = status;
      const [tone, name] = KINDS[kind][status] ?? ["idle", "question"];
      setAttribute(element, "data-tone", tone);
      element.firstChild.replaceWith(icon(name, name === "spin" ? "spin" : ""));
      setText(text, word(kind, status));
    },
  };
}

/** Something that has to be said: `bad`, `warn`, `idle`, `ok` or `run`. */
export function note(tone, ...content) {
  const name = { bad: "cross", warn: "warn", ok: "check", run: "play", idle: "help" }[tone];
  return h("div", { class: "note", data: { tone } }, icon(name), h("div", { class: "grow" }, content));
}
