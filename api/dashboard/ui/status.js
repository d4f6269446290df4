// Statuses as a colour, a shape and a text, so that none is needed alone.

import { labelFor, t } from "../app/i18n.js";
import { h, setAttribute, setText } from "./dom.js";
import { icon } from "./icons.js";

/** A tone and an icon. @typedef {[string, import("./icons.js").IconName]} Look */

/** @type {Record<API.TaskStatus, Look>} */
const TASK = {
  queued: ["idle", "clock"],
  starting: ["run", "spin"],
  running: ["run", "play"],
  stopping: ["warn", "stop"],
  completed: ["ok", "check"],
  stopped: ["idle", "stop"],
  failed: ["bad", "cross"],
};

/** @type {Record<ShownGPUStatus, Look>} */
const GPU = {
  available: ["ok", "check"],
  training: ["run", "play"],
  preprocessing: ["run", "play"],
  busy: ["warn", "square"],
  draining: ["idle", "drain"],
  paused: ["idle", "pause"],
  claimed: ["warn", "square"],
  lost: ["bad", "cross"],
  unknown: ["warn", "question"],
};

/** @type {Record<API.NodeStatus, Look>} */
const NODE = {
  up: ["ok", "check"],
  draining: ["idle", "drain"],
  down: ["idle", "stop"],
  unknown: ["warn", "question"],
};

/**
 * A newer service may have others.
 * @type {{task: Record<string, Look>, gpu: Record<string, Look>, node: Record<string, Look>}}
 */
const KINDS = { task: TASK, gpu: GPU, node: NODE };

/** The service's states of a GPU, and two that the page adds. @typedef {API.GPUStatus|"paused"|"claimed"} ShownGPUStatus */

/** The state that the page shows: no training gets a paused or claimed GPU, although nothing runs on it. @param {API.GPU} gpu @returns {ShownGPUStatus} */
export function shownStatus({ status, paused_until: until, claims }) {
  if (status !== "available") return status;
  if (until) return "paused";
  return claims.length > 0 ? "claimed" : status;
}

/** Whether a training could get it now. @param {API.GPU} gpu */
export const isFree = (gpu) => gpu.is_available && !gpu.paused_until && gpu.claims.length === 0;

/** Whether a task in this status is final. @param {string|null} status */
export const isFinished = (status) => status === "completed" || status === "stopped" || status === "failed";

/**
 * Whether the latest loss is NaN: the weights since then are unusable.
 * @param {{metrics: API.Metrics}} task
 */
export const isSpoiled = ({ metrics }) => (metrics.nan_steps ?? 0) > 0 && metrics.current_loss === null;

/** The chip for this state. */
export const spoiledChip = () =>
  h("span.spoiled.chip", { data: { tone: "warn" }, title: t("nan.last"), hidden: true }, icon("warn"), t("nan.chip"));

/** @param {"task"|"gpu"|"node"} kind @param {string} status */
export const toneOf = (kind, status) => (KINDS[kind][status] ?? ["idle"])[0];

/** @param {"task"|"gpu"|"node"} kind */
export function statusChip(kind) {
  const text = h("span");
  let sign = icon("circle");
  const element = h("span.status.chip", sign, text);
  let shown = "";
  return {
    element,
    /** @param {string} status */
    update(status) {
      if (status === shown) return;
      shown = status;
      const [tone, name] = KINDS[kind][status] ?? ["idle", "question"];
      setAttribute(element, "data-tone", tone);
      const next = icon(name, name === "spin" ? "spin" : "");
      sign.replaceWith(next);
      sign = next;
      setText(text, labelFor(kind, status));
    },
  };
}

const SIGNS = /** @type {const} */ ({ bad: "cross", warn: "warn", ok: "check", run: "play", idle: "help" });

/** A note with an icon. @param {keyof typeof SIGNS} tone @param {...Child} content */
export function note(tone, ...content) {
  return h("div.note", { data: { tone } }, icon(SIGNS[tone]), h("div.grow", content));
}
