// The jobs of a dataset: progress, result, and cancellation.

import { whyNot } from "../../app/access.js";
import { data, workLogURL } from "../../app/api_data.js";
import { errorText, labelFor, t, translate } from "../../app/i18n.js";
import { datasetAddress } from "../../app/router.js";
import { actionButton } from "../../ui/buttons.js";
import { h } from "../../ui/dom.js";
import { count, duration, percent } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { meter } from "../../ui/meter.js";
import { time } from "../../ui/time.js";
import { waitingText } from "../../ui/waiting.js";
import { difference } from "./difference.js";
import { lookChip, polledList } from "./list_parts.js";

const LIST = 30;
const SHOWN_DIFFERENCES = 20;
/** Poll interval of jobs. */
const POLL_MS = 2000;

/** @type {Record<API.Work["status"], import("./list_parts.js").Look>} */
const LOOKS = {
  queued: ["idle", "clock"],
  processing: ["run", "spin"],
  completed: ["ok", "check"],
  failed: ["bad", "cross"],
  cancelled: ["idle", "stop"],
};

/** @param {API.Work} work */
const isActive = ({ status }) => status === "queued" || status === "processing";

/**
 * @param {string} name of the dataset
 * @param {{made: () => unknown, undo: (version: number) => unknown}} handlers `made` is called when a job has created a version
 */
export function jobsList(name, handlers) {
  /** @type {Set<string>} */
  let active = new Set();

  /** The subject of each job, which the list does not contain. @type {Map<string, string>} */
  const subjects = new Map();

  /** @param {API.Work} work */
  async function isOwn({ task_id: id, dataset, result }) {
    if (result?.dataset === name) return true;
    if (dataset || !subjects.has(id)) subjects.set(id, dataset ?? (await data.work(id)).dataset ?? "");
    return subjects.get(id)?.split("@")[0] === name;
  }

  const list = polledList(t("works"), "works", {
    async ask() {
      const { tasks } = await data.works({ limit: LIST });
      const which = await Promise.all(tasks.map(isOwn));
      return tasks.filter((_, i) => which[i]);
    },
    row,
    isActive,
    pauseMs: POLL_MS,
    shown(own) {
      if (own.some(({ task_id: id, result }) => active.has(id) && result?.dataset === name)) handlers.made();
      active = new Set(own.filter(isActive).map(({ task_id: id }) => id));
    },
  });

  /** @param {API.Work} work */
  function row(work) {
    const bar = meter(t("progress"));
    bar.update(work.progress, null);
    const done = work.items_total ? t("steps", { step: count(work.items_done), total: count(work.items_total) }) : "";
    const left = work.eta_seconds === null ? "" : t("left", { time: duration(work.eta_seconds) });
    const details = [
      work.current_step && labelFor("work.step", work.current_step.replaceAll(" ", "_")),
      done,
      percent(work.progress),
      left,
    ];
    return h(
      "li.work",
      { data: { task: work.task_id } },
      h(
        "div.work-head",
        lookChip(LOOKS[work.status], labelFor("work", work.status)),
        h("strong", labelFor("work.kind", work.work)),
        h("span.faint.tiny.mono", work.task_id),
        h("span.grow"),
        time(work.created_at),
        h("a.button.small", { href: workLogURL(work.task_id), download: "" }, icon("down"), t("log")),
        isActive(work) && cancelButton(work),
      ),
      isActive(work) && [bar.element, h("p.small.soft", details.filter(Boolean).join(" · "))],
      work.waiting_reason && h("p.small.soft", waitingText(work.waiting_reason, work.waiting_reason_code ?? null)),
      failure(work),
      result(work),
    );
  }

  /** @param {API.Work} work */
  function cancelButton(work) {
    const denied = work.stop ? t("work.ends") : whyNot("datasets:write", work.owner ?? null);
    const cancel = async () => {
      await data.cancelWork(work.task_id);
      await list.refetch();
    };
    return actionButton("small danger", denied, cancel, icon("stop"), t("cancel"));
  }

  /** @param {API.Work} work @returns {Child} */
  function result({ result: made }) {
    if (!made) return null;
    const parts = [
      t("work.made", { dataset: made.dataset, version: count(made.version), items: count(made.items) }),
      made.made ? t("work.new", { n: count(made.made) }) : "",
      made.reused ? t("work.reused", { n: count(made.reused) }) : "",
      made.dropped ? t("work.dropped", { n: count(made.dropped) }) : "",
    ];
    const { previous, differences = [], problems = [] } = made;
    return [
      h(
        "p.small.soft.foreign",
        parts.filter(Boolean).join(" · "),
        made.dataset !== name && [" ", h("a", { href: datasetAddress(made.dataset) }, t("work.open"))],
      ),
      problems.length > 0 &&
        h(
          "details",
          h("summary.small.warn", t("work.problems", { n: count(made.problem_count) })),
          h(
            "ul.small",
            problems.map(({ path, problem }) => h("li.foreign", `${path}: ${problem}`)),
          ),
        ),
      differences.length > 0 &&
        h(
          "details",
          h("summary.small", t("edit.changes", { n: count(made.difference_count ?? differences.length) })),
          h(
            "ul.edit-list",
            { tabindex: 0, "aria-label": t("edit.preview") },
            differences
              .slice(0, SHOWN_DIFFERENCES)
              .map(({ name: item, before, after }) =>
                h("li", h("span.faint.tiny.foreign", item), h("p.small.foreign", difference(before, after))),
              ),
          ),
          typeof previous === "number" &&
            h(
              "button.button.small",
              { on: { click: () => handlers.undo(previous) } },
              icon("history"),
              t("work.undo", { n: count(previous) }),
            ),
        ),
    ];
  }

  return list;
}

/** @param {API.Work} work @returns {Child} */
function failure({ failure: cause, problem }) {
  if (cause)
    return h(
      "p.small.bad.foreign",
      translate(cause.detail, cause.detail_code ?? null),
      " ",
      translate(cause.remedy, cause.remedy_code ?? null),
    );
  return problem ? h("p.small.bad.foreign", errorText(problem.code, problem.message, [])) : null;
}
