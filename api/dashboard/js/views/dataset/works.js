// What works on a dataset, or has: how far it is, what it has made, and its end.

import { whyNot } from "../../access.js";
import { data, workLogURL } from "../../api_data.js";
import { meter } from "../../components/meter.js";
import { time } from "../../components/time.js";
import { attempt, toast } from "../../components/toast.js";
import { waitingWords } from "../../components/waiting.js";
import { fill, h, setAttribute } from "../../dom.js";
import { count, duration, percent } from "../../format.js";
import { t, tell, word } from "../../i18n.js";
import { icon } from "../../icons.js";
import { datasetAddress } from "../../router.js";
import { difference } from "./difference.js";

const LIST = 30;
const SHOWN_DIFFERENCES = 20;
/** How often what works is asked for. */
const LOOK_MS = 2000;

/** @type {Record<API.Work["status"], [string, import("../../icons.js").IconName]>} */
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
 * @param {{made: () => unknown, undo: (version: number) => unknown}} how `made` is called when something has made a version
 */
export function worksList(name, how) {
  const list = h("ul", { class: "works" });
  const element = h("div", { class: "stack", hidden: true }, h("h2", {}, t("works")), list);
  let timer = 0;
  let isClosed = false;
  /** @type {Set<string>} */
  let active = new Set();
  let drawn = "";

  /** What each works on, which a list does not say. @type {Map<string, string>} */
  const subjects = new Map();

  /** @param {API.Work} work */
  async function isOwn({ task_id: id, dataset, result }) {
    if (result?.dataset === name) return true;
    if (dataset || !subjects.has(id)) subjects.set(id, dataset ?? (await data.work(id)).dataset ?? "");
    return subjects.get(id)?.split("@")[0] === name;
  }

  async function refetch() {
    clearTimeout(timer);
    const { tasks } = await data.works({ limit: LIST });
    const which = await Promise.all(tasks.map(isOwn));
    if (isClosed) return;
    const own = tasks.filter((_, i) => which[i]);
    element.hidden = own.length === 0;
    const key = JSON.stringify(own);
    if (key !== drawn) fill(list, own.map(row));
    drawn = key;
    if (own.some(({ task_id: id, result }) => active.has(id) && result?.dataset === name)) how.made();
    active = new Set(own.filter(isActive).map(({ task_id: id }) => id));
    if (active.size) timer = setTimeout(() => refetch().catch(() => again()), LOOK_MS);
  }
  // A service that is away is asked again.
  const again = () => {
    if (!isClosed) timer = setTimeout(() => refetch().catch(again), LOOK_MS);
  };

  /** @param {API.Work} work */
  function row(work) {
    const [tone, sign] = LOOKS[work.status];
    const bar = meter(t("progress"));
    bar.update(work.progress, null);
    const done = work.items_total ? t("steps", { step: count(work.items_done), total: count(work.items_total) }) : "";
    const left = work.eta_seconds === null ? "" : t("left", { time: duration(work.eta_seconds) });
    const said = [
      work.current_step && word("work.step", work.current_step.replaceAll(" ", "_")),
      done,
      percent(work.progress),
      left,
    ];
    return h(
      "li",
      { class: "work", data: { task: work.task_id } },
      h(
        "div",
        { class: "work-head" },
        h(
          "span",
          { class: "status chip", data: { tone } },
          icon(sign, sign === "spin" ? "spin" : ""),
          word("work", work.status),
        ),
        h("strong", {}, word("work.kind", work.work)),
        h("span", { class: "faint tiny mono" }, work.task_id),
        h("span", { class: "grow" }),
        time(work.created_at),
        h("a", { class: "button small", href: workLogURL(work.task_id), download: "" }, icon("down"), t("log")),
        isActive(work) && cancelButton(work),
      ),
      isActive(work) && [bar.element, h("p", { class: "small soft" }, said.filter(Boolean).join(" · "))],
      work.waiting_reason &&
        h("p", { class: "small soft" }, waitingWords(work.waiting_reason, work.waiting_reason_code ?? null)),
      failure(work),
      result(work),
    );
  }

  /** @param {API.Work} work */
  function cancelButton(work) {
    const denied = work.stop ? t("work.ends") : whyNot("datasets:write", work.owner ?? null);
    const cancel = async () => {
      if (denied) return toast("bad", denied);
      await data.cancelWork(work.task_id);
      await refetch();
    };
    const button = h(
      "button",
      { class: "button small danger", title: denied, on: { click: () => void attempt(cancel) } },
      icon("stop"),
      t("cancel"),
    );
    setAttribute(button, "aria-disabled", denied ? "true" : null);
    return button;
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
        "p",
        { class: "small soft foreign" },
        parts.filter(Boolean).join(" · "),
        made.dataset !== name && [" ", h("a", { href: datasetAddress(made.dataset) }, t("work.open"))],
      ),
      problems.length > 0 &&
        h(
          "details",
          {},
          h("summary", { class: "small warn" }, t("work.problems", { n: count(made.problem_count) })),
          h(
            "ul",
            { class: "small" },
            problems.map(({ path, problem }) => h("li", { class: "foreign" }, `${path}: ${problem}`)),
          ),
        ),
      differences.length > 0 &&
        h(
          "details",
          {},
          h(
            "summary",
            { class: "small" },
            t("edit.changes", { n: count(made.difference_count ?? differences.length) }),
          ),
          h(
            "ul",
            { class: "edit-list", tabindex: 0, "aria-label": t("edit.preview") },
            differences
              .slice(0, SHOWN_DIFFERENCES)
              .map(({ name: item, before, after }) =>
                h(
                  "li",
                  {},
                  h("span", { class: "faint tiny foreign" }, item),
                  h("p", { class: "small foreign" }, difference(before, after)),
                ),
              ),
          ),
          typeof previous === "number" &&
            h(
              "button",
              { class: "button small", on: { click: () => how.undo(previous) } },
              icon("history"),
              t("work.undo", { n: count(previous) }),
            ),
        ),
    ];
  }

  return {
    element,
    refetch,
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** @param {API.Work} work @returns {Child} */
function failure({ failure: cause, problem }) {
  if (cause)
    return h(
      "p",
      { class: "small bad foreign" },
      tell(cause.detail, cause.detail_code ?? null),
      " ",
      tell(cause.remedy, cause.remedy_code ?? null),
    );
  return problem ? h("p", { class: "small bad foreign" }, problem.message) : null;
}
