// Home: the setup checklist, the GPUs at a glance, and the trainings that run and that are next.

import { api } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { fill, h, reconcile, setText } from "../../ui/dom.js";
import { gpuKey } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { gpuCell } from "../machine/fleet.js";
import { countsText, problemNote } from "../machine/summary.js";
import { gpuTile } from "../machine/tile.js";
import { setupReminder } from "../setup/reminder.js";
import { TaskList } from "../tasks/list.js";

/** Events that change the lists. */
const LISTED = ["status", "change", "stop"];
const RUNNING = 8;
const NEXT = 5;
// More GPUs than this are shown as cells.
const MANY = 16;
const PAUSE_MS = 250;

/** @param {import("../../app/main.js").App} app @returns {import("../../app/main.js").Screen} */
export function open(app) {
  const setup = setupReminder();
  /** @param {WordKey} title @param {WordKey} none @param {API.Query} query */
  const list = (title, none, query) =>
    new TaskList({
      title: t(title),
      ask: () => api.tasks(query),
      limit: Number(query.limit),
      empty: () => h("p.none.faint.small", t(none)),
      changed: () => refetchSoon(),
    });
  const running = list("tasks.running", "home.running.none", { status: "starting,running,stopping", limit: RUNNING });
  const next = list("home.next", "home.next.none", { order: "queue", limit: NEXT });
  const counts = h("span.soft.small", { "aria-live": "polite" });
  const [problem, grid] = [h("div"), h("div")];
  /** @type {Map<string|number|null, import("../../ui/dom.js").Part<API.GPU>>} */
  const parts = new Map();
  let drawnAs = "";
  let statuses = "";

  async function refetch() {
    await Promise.all([setup.refetch(), running.refetch(), next.refetch()]);
  }

  const refetchSoon = soon(() => refetch().catch(() => app.stream.retry()), PAUSE_MS);

  /** @param {API.Snapshot|null} snapshot */
  function draw(snapshot) {
    if (!snapshot) return;
    const { gpus } = snapshot;
    const form = gpus.length > MANY ? "home-cells" : "gpu-grid dense";
    if (form !== drawnAs) clear();
    drawnAs = grid.className = form;
    reconcile(grid, parts, gpus, gpuKey, (gpu) => (gpus.length > MANY ? gpuCell(gpu) : gpuTile(gpu, "5m")));
    fill(problem, problemNote(snapshot));
    setText(counts, countsText(gpus));
    const now = gpus.map(({ status }) => status).join();
    if (statuses && statuses !== now) refetchSoon();
    statuses = now;
  }

  function clear() {
    for (const part of parts.values()) part.close?.();
    parts.clear();
    grid.textContent = "";
  }

  const unwatch = machine.watch(draw);
  return {
    element: h(
      "div.screen",
      h("h1.visually-hidden", t("nav.home")),
      setup.element,
      h(
        "section.home-gpus",
        { "aria-label": t("gpus") },
        h("div.screen-head", h("h2", h("a", { href: "#/gpus" }, icon("gpu"), t("gpus"))), counts),
        problem,
        grid,
      ),
      running.element,
      next.element,
    ),
    title: () => t("nav.home"),
    topics: "gpu,task,system",
    on: {
      progress: (message) => running.progress(message),
      // Stages and checkpoints are frequent and do not change these lists.
      status: (message) => LISTED.includes(message.event?.type) && refetchSoon(),
    },
    refetch,
    close() {
      unwatch();
      refetchSoon.cancel();
      clear();
      for (const part of [setup, running, next]) part.close();
    },
  };
}
