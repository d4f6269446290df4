// A dataset is checked before it is trained on: what is wrong with it, and its buckets.

import { Refused } from "../../app/api.js";
import { data, itemURL } from "../../app/api_data.js";
import { t, word } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { attempt } from "../../ui/toast.js";
import { findingItem, findingsOf, verdict } from "../start/findings.js";
import { bucketName, bucketsPicture } from "./buckets.js";
import { checkWish, recallSettings, settingsForm } from "./settings.js";
import { problemWord } from "./tile.js";

/** Groups of duplicates that are shown, and of each so many. */
const GROUPS = 24;
const IN_GROUP = 8;
/** How often a busy service is asked again. */
const TRIES = 10;

/** Some items, and what they have in common. @typedef {{label: string, ids: readonly string[]}} Some */

/**
 * @param {string} name of the dataset
 * @param {object} how
 * @param {() => number|null} how.shown the version
 * @param {() => number|null} how.pinned the version, where it is not the newest
 * @param {(some: Some) => void} how.show these items
 * @param {(problem: string) => void} how.showProblem
 * @param {() => void} how.looked into files: more is known of them
 * @param {() => string|null} how.denied why items cannot be removed or excluded
 * @param {(what: import("./items_panel.js").ItemChange, ids: readonly string[]) => Promise<boolean>} how.change
 */
export function checkPanel(name, how) {
  let settings = recallSettings();
  /** @type {AbortController|null} */
  let running = null;
  /** The version whose result is shown. @type {number|null} */
  let checked = null;
  const result = h("div", { class: "stack check-result", "aria-live": "polite" });
  const form = settingsForm("check", settings, (now) => {
    settings = now;
  });
  const button = h("button", { class: "button primary", type: "submit" }, icon("check"), t("check.do"));
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    attempt(check);
  };

  async function check() {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    button.disabled = true;
    try {
      // A request looks into files for some seconds; the same goes on where it left off.
      for (;;) {
        const wish = { ...checkWish(settings), version: String(how.shown()) };
        const found = await patiently(() => data.check(name, wish, mine.signal), mine.signal);
        if (mine.signal.aborted) return;
        checked = found.version;
        fill(result, resultOf(found));
        if (!found.unexamined) break;
      }
      how.looked();
    } catch (error) {
      if (mine.signal.aborted) return;
      fill(result);
      throw error;
    } finally {
      if (running === mine) button.disabled = false;
    }
  }

  /** @param {API.DatasetCheck} found @returns {Child} */
  function resultOf(found) {
    const findings = findingsOf(found);
    return [
      found.unexamined > 0 &&
        note(
          "run",
          h("p", {}, t("check.looking", { n: count(found.items - found.unexamined), total: count(found.items) })),
        ),
      !found.unexamined && verdict(findings),
      h(
        "dl",
        { class: "figures-row check-figures" },
        figure("items", found.items),
        found.excluded > 0 && figure("problem.excluded", found.excluded),
        figure("check.trained", found.trained_items),
        figure("plan.epoch", found.steps_per_epoch),
        figure("check.buckets", found.buckets.length),
      ),
      findings.length > 0 &&
        h(
          "ul",
          { class: "findings" },
          findings.map((finding) => findingItem(finding, "", null, undefined, actionsOf(finding))),
        ),
      found.notes.map((text) => note("idle", h("p", {}, text))),
      found.problems.length > 0 && [h("h3", {}, t("check.problems")), problemList(found)],
      found.buckets.length > 0 && [
        h("h3", {}, t("check.buckets")),
        h("p", { class: "faint small" }, t("check.buckets.text")),
        bucketsPicture(found.buckets, (bucket) => how.show({ label: bucketName(bucket), ids: bucket.item_ids })),
      ],
      found.skipped.length > 0 && [h("h3", {}, t("check.skipped")), skippedList(found)],
      duplicates(t("check.exact"), found.duplicates.exact, found.duplicates.exact_groups, found.duplicates.exact_extra),
      duplicates(t("check.near"), found.duplicates.near, found.duplicates.near_groups, found.duplicates.near_extra),
    ];
  }

  /** @param {API.DatasetCheck} found */
  const problemList = ({ problems }) =>
    h(
      "div",
      { class: "tag-row" },
      problems.map(({ reason, items }) =>
        h(
          "button",
          { class: "button small", on: { click: () => how.showProblem(reason) } },
          `${problemWord(reason)}: ${count(items)}`,
        ),
      ),
    );

  /** @param {API.DatasetCheck} found */
  const skippedList = ({ skipped }) =>
    h(
      "ul",
      { class: "findings" },
      skipped.map(({ reason, items, item_ids: ids }) =>
        h(
          "li",
          { class: "finding", data: { tone: "warn" } },
          icon("warn"),
          h("div", { class: "grow foreign" }, `${count(items)}: ${word("skipped", reason)} `),
          h(
            "button",
            { class: "button small", on: { click: () => how.show({ label: word("skipped", reason), ids }) } },
            t("check.show"),
          ),
          changeButton("check.exclude", "exclude", ids),
          changeButton("check.remove", "remove", ids),
        ),
      ),
    );

  /** What can be done with the items that a finding is about. @param {API.DatasetFinding} finding @returns {Child} */
  function actionsOf({ items, item_ids: ids }) {
    if (!items) return null;
    const show = () => how.show({ label: t("check.found"), ids });
    return h(
      "div",
      { class: "finding-actions" },
      h("button", { class: "button small", on: { click: show } }, t("check.show")),
      changeButton("check.exclude", "exclude", ids),
      changeButton("check.remove", "remove", ids),
    );
  }

  /** @param {WordKey} label @param {import("./items_panel.js").ItemChange} what @param {readonly string[]} ids */
  function changeButton(label, what, ids) {
    const why = how.denied();
    const run = async () => {
      if (await how.change(what, ids)) await check();
    };
    return h(
      "button",
      {
        class: "button small",
        "aria-disabled": why ? "true" : null,
        title: why,
        on: { click: () => void attempt(run) },
      },
      t(label),
    );
  }

  /** @param {string} title @param {readonly (readonly string[])[]} groups @param {number} total @param {readonly string[]} extra @returns {Child} */
  function duplicates(title, groups, total, extra) {
    if (!total) return null;
    return [
      h("h3", {}, `${title}: ${count(total)}`),
      h("p", { class: "faint small" }, t("check.keep.text")),
      h(
        "div",
        { class: "finding-actions" },
        changeButton("check.keep", "remove", extra),
        changeButton("check.keep.exclude", "exclude", extra),
      ),
      h(
        "ul",
        { class: "duplicates" },
        groups.slice(0, GROUPS).map((ids) =>
          h(
            "li",
            {},
            h(
              "button",
              {
                class: "duplicate-group",
                "aria-label": t("check.group", { n: ids.length }),
                on: { click: () => how.show({ label: title, ids }) },
              },
              ids.slice(0, IN_GROUP).map((id) =>
                h("img", {
                  src: itemURL(name, id, "thumbnail", { size: 128, version: how.pinned() }),
                  alt: "",
                  loading: "lazy",
                }),
              ),
              ids.length > IN_GROUP && h("span", { class: "small soft" }, `+${count(ids.length - IN_GROUP)}`),
            ),
          ),
        ),
      ),
      total > GROUPS && h("p", { class: "faint small" }, t("more", { n: count(total - GROUPS) })),
    ];
  }

  const element = h(
    "section",
    { class: "panel", "aria-label": t("check") },
    h("header", {}, h("h2", {}, t("check")), h("p", { class: "tools faint small" }, t("check.text"))),
    h("form", { class: "body stack", on: { submit } }, form, h("div", { class: "choices" }, button)),
    h("div", { class: "body" }, result),
  );
  fill(result, h("p", { class: "faint small" }, t("check.hint")));
  return {
    element,
    /** Checks again where another version is shown now: ids and counts are of the old one. */
    async refetch() {
      if (checked !== null && checked !== how.shown()) await attempt(check);
    },
    close: () => running?.abort(),
  };
}

/**
 * Asks again while the service looks into other files.
 * @template T @param {() => Promise<T>} ask @param {AbortSignal} signal @returns {Promise<T>}
 */
async function patiently(ask, signal) {
  for (let tries = TRIES; ; tries -= 1) {
    try {
      return await ask();
    } catch (error) {
      const isBusy = error instanceof Refused && error.status === 503 && error.retryAfter !== null;
      if (!isBusy || !tries || signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfter ?? 1)));
    }
  }
}

/** @param {WordKey} label @param {number|null} value */
const figure = (label, value) =>
  h("div", { class: "stat" }, h("dt", { class: "label" }, t(label)), h("dd", {}, h("b", {}, count(value))));
