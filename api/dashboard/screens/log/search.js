// Search in the logs of all trainings, newest first.

import { api } from "../../app/api.js";
import { refusalText } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { storeQuery, taskAddress } from "../../app/router.js";
import { fill, h, setText } from "../../ui/dom.js";
import { selectInput } from "../../ui/fields.js";
import { count, isKnown } from "../../ui/format.js";
import { panel } from "../../ui/panel.js";
import { searchField } from "../../ui/search_field.js";
import { sections } from "../../ui/sections.js";
import { time } from "../../ui/time.js";
import { attempt } from "../../ui/toast.js";
import { marked } from "./rows.js";

const PAGE = 100;
const LEVELS = /** @type {const} */ (["", "info", "warning", "error"]);

/**
 * @param {import("../../app/main.js").App} _app @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(_app, place) {
  const search = searchField(t("logs.search"), place.query.get("search") ?? "", () => restart());
  search.element.classList.add("grow");
  const isRegex = h("input", { type: "checkbox", on: { change: () => restart() } });
  const level = selectInput(
    LEVELS.map((value) => [value, t(`level.${value || "all"}`)]),
    { class: "input model-filter", "aria-label": t("log.level"), on: { change: () => restart() } },
  );
  const state = h("span.soft.small", { role: "status" });
  const list = h("ol.log-hits");
  const more = h("button.button.small", { hidden: true, on: { click: () => attempt(next) } }, t("logs.more"));
  /** The search that runs, cancelled by the next one. */
  let abort = new AbortController();
  /** @type {string|null} */
  let cursor = null;
  let found = 0;
  /** @type {Map<string, string>} */
  const names = new Map();

  async function restart() {
    abort.abort();
    abort = new AbortController();
    cursor = null;
    found = 0;
    fill(list);
    more.hidden = true;
    setText(state, "");
    const { value } = search.input;
    search.input.classList.remove("wrong");
    storeQuery("/trainings/logs", { search: value });
    if (value) await next();
  }

  async function next() {
    const { signal } = abort;
    setText(state, t("loading"));
    try {
      const page = await api.searchAllLogs(
        {
          [isRegex.checked ? "regex" : "keyword"]: search.input.value,
          ignore_case: "true",
          level: level.value,
          limit: PAGE,
          cursor,
        },
        signal,
      );
      await Promise.all([...new Set(page.results.map((hit) => hit.task_id ?? ""))].map(findName));
      if (signal.aborted) return;
      found += page.results.length;
      cursor = page.next_cursor;
      list.append(...page.results.map((hit) => hitRow(hit, names.get(hit.task_id ?? "") ?? "")));
      more.hidden = cursor === null;
      const total = count(found) + (cursor === null ? "" : "+");
      setText(state, found || cursor !== null ? t("log.matches", { n: total }) : t("log.matches.none"));
    } catch (error) {
      if (signal.aborted) return;
      search.input.classList.add("wrong");
      setText(state, refusalText(error));
    }
  }

  /** @param {string} id */
  async function findName(id) {
    if (!names.has(id)) names.set(id, (await api.task(id).catch(() => null))?.name || id);
  }

  return {
    element: h(
      "div.screen",
      h("div.screen-head", h("h1", t("nav.tasks")), sections("tasks", "#/trainings/logs")),
      h(
        "div.filters",
        search.element,
        h("label.check", { title: t("log.regex.title") }, isRegex, t("log.regex")),
        level,
      ),
      panel("", t("logs.search"), state, h("div.body", list, more)),
    ),
    title: () => t("logs.search"),
    topics: "gpu,system",
    on: {},
    refetch: async () => void (found || (await restart())),
    close() {
      search.close();
      abort.abort();
    },
  };
}

/** @param {API.SearchHit} hit @param {string} name of its training */
function hitRow({ task_id: id, line_number: line, timestamp, level, message, match_start: from, match_end: to }, name) {
  return h(
    "li",
    h(
      "p.small.soft",
      h("a.foreign", { href: taskAddress(id ?? "", "log") }, name),
      " · ",
      t("line", { n: count(line) }),
      timestamp && [" · ", time(timestamp)],
    ),
    h(
      "p.mono.small.foreign",
      { data: { level } },
      marked(message, isKnown(from) && isKnown(to) && to > from ? [from, to] : null),
    ),
  );
}
