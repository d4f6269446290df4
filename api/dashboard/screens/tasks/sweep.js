// The screen of a sweep: its trainings with their values.

import { whyNot } from "../../app/access.js";
import { api, Refused } from "../../app/api.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { setDenied } from "../../ui/buttons.js";
import { askSure } from "../../ui/dialog.js";
import { fill, h, reconcile, setText } from "../../ui/dom.js";
import { count, figure } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { backLink } from "../../ui/sections.js";
import { isSpoiled, note, spoiledChip, statusChip } from "../../ui/status.js";
import { table } from "../../ui/table.js";
import { attempt, toast } from "../../ui/toast.js";
import { MOST } from "../compare/state.js";
import { pointerLabel, showValue } from "../start/draft.js";
import { progressBar } from "./progress.js";

// Events of one change come in bursts.
const REFETCH_PAUSE_MS = 500;

/**
 * @param {import("../../app/main.js").App} app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(app, place) {
  const id = place.id;
  const title = h("h1.foreign", { tabindex: -1 }, id);
  const sub = h("p.soft.small.task-sub");
  const rule = h("div.stack");
  const body = h("div.body");
  const compare = h("a.button", { hidden: true }, icon("sliders"), t("sweep.compare"));
  const stopButton = h("button.button.danger", { hidden: true, on: { click: () => attempt(stop) } });
  fill(stopButton, icon("stop"), t("sweep.stop"));
  /** @type {Map<string, ReturnType<typeof trainingRow>>} */
  const rows = new Map();
  /** @type {HTMLElement|null} */
  let list = null;
  /** @type {API.Sweep|null} */
  let sweep = null;

  async function stop() {
    const denied = whyNot("training:write", sweep?.owner);
    if (denied) return toast("bad", denied);
    const isSure = await askSure({ title: t("sweep.stop.title"), text: t("sweep.stop.text"), action: t("sweep.stop") });
    if (!isSure) return;
    show(await api.stopSweep(id));
    toast("ok", t("sweep.stopped"));
  }

  /** @param {API.Sweep} found */
  function show(found) {
    sweep = found;
    setText(title, found.name);
    const counts = Object.entries(found.counts).filter(([, number]) => number);
    fill(
      sub,
      h("span.mono", found.sweep_id),
      found.owner && h("span.foreign", t("owner.n", { owner: found.owner })),
      h("span", t("sweep.n", { n: found.total })),
      counts.map(([status, number]) => h("span", `${labelFor("task", status)}: ${count(number)}`)),
      h("a", { href: `#/trainings?sweep=${encodeURIComponent(id)}` }, t("sweep.in_list")),
    );
    fill(
      rule,
      found.early_stop &&
        note(
          "idle",
          h("strong", t("sweep.rule")),
          h("p", translate(found.early_stop.rule, found.early_stop.rule_code)),
        ),
    );
    const hadFocus = stopButton === document.activeElement;
    stopButton.hidden = found.status === "finished";
    if (hadFocus && stopButton.hidden) title.focus();
    setDenied(stopButton, whyNot("training:write", found.owner));
    const compared = found.trainings.slice(0, MOST).map(({ task_id: task }) => task);
    compare.hidden = compared.length < 2;
    compare.href = `#/trainings/compare?tasks=${compared.map((each) => encodeURIComponent(each)).join(",")}`;
    compare.title = found.total > MOST ? t("sweep.compare.first", { n: MOST }) : "";
    if (!list) {
      const heads = [
        t("sweep.training"),
        ...found.varied.map(({ pointer }) => pointerLabel(pointer)),
        t("status"),
        t("progress"),
        t("loss"),
        t("stat.best"),
      ];
      const content = table(heads, [], "sweep-table");
      for (const head of [...content.querySelectorAll("th")].slice(-2)) head.classList.add("num");
      list = content.querySelector("tbody");
      fill(body, content);
    }
    const { varied } = found;
    if (list)
      reconcile(
        list,
        rows,
        found.trainings,
        ({ task_id: task }) => task,
        () => trainingRow(varied),
      );
    app.retitle();
  }

  async function refetch() {
    try {
      show(await api.sweep(id));
    } catch (error) {
      // The last of its trainings may have been deleted.
      if (!(error instanceof Refused) || error.status !== 404) throw error;
      stopButton.hidden = compare.hidden = true;
      fill(rule, note("bad", h("p", t("sweep.missing", { id }))));
    }
  }
  const refetchSoon = soon(() => refetch().catch(() => app.stream.retry()), REFETCH_PAUSE_MS);

  return {
    element: h(
      "div.screen",
      h(
        "header.task-head",
        backLink("#/sweeps", t("sweeps")),
        h("div.screen-head", title, h("div.tools", compare, stopButton)),
        sub,
        rule,
      ),
      h(
        "section.panel.sweep-panel",
        { "aria-label": t("sweep.trainings") },
        h("header", h("h2", t("sweep.trainings"))),
        body,
      ),
    ),
    title: () => sweep?.name ?? id,
    topics: "gpu,task,system",
    on: {
      progress: (message) => rows.get(message.task_id)?.progress(message),
      status: () => refetchSoon(),
    },
    refetch,
    close: () => refetchSoon.cancel(),
  };
}

/** @param {API.Sweep["varied"]} varied */
function trainingRow(varied) {
  const [chip, spoiled, bar] = [statusChip("task"), spoiledChip(), progressBar()];
  const link = h("a.foreign", {});
  const why = h("p.tiny.soft.sweep-why", { hidden: true });
  const values = varied.map(() => h("td.foreign"));
  const [loss, best] = [h("td.num"), h("td.num")];
  const element = h(
    "tr",
    h("td", link),
    values,
    h("td", chip.element, " ", spoiled, why),
    h("td", bar.element),
    loss,
    best,
  );
  /** @type {API.Row} */
  let task;
  return {
    element,
    /** @param {API.Row} next */
    update(next) {
      task = next;
      link.href = taskAddress(task.task_id);
      setText(link, task.name ?? task.task_id);
      varied.forEach(({ pointer }, at) => {
        setText(values[at], showValue(task.sweep_values?.[pointer]));
      });
      chip.update(task.status);
      spoiled.hidden = !isSpoiled(task);
      const reason = task.failure
        ? translate(task.failure.detail, task.failure.detail_code)
        : translate(task.stop?.reason ?? "", task.stop?.reason_code);
      why.hidden = !reason;
      setText(why, reason);
      bar.update(task.status, task.progress, task.metrics);
      setText(loss, figure(task.metrics.current_loss));
      setText(best, figure(task.metrics.best_loss));
    },
    /** @param {API.TaskProgress} message */
    progress(message) {
      this.update({ ...task, ...message, task_id: task.task_id });
    },
  };
}
