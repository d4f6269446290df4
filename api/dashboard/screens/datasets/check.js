// The check of a dataset: its problems and its buckets.

import { Refused } from "../../app/api.js";
import { data, itemURL } from "../../app/api_data.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { fill, h } from "../../ui/dom.js";
import { count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { panel } from "../../ui/panel.js";
import { note } from "../../ui/status.js";
import { attempt } from "../../ui/toast.js";
import { findingItem, findingsOf, verdict } from "../start/findings.js";
import { bucketName, bucketsPicture } from "./buckets.js";
import { checkRequest, recallSettings, settingsForm } from "./settings.js";
import { problemLabel } from "./tile.js";

/** Most duplicate groups shown, and most items of each. */
const GROUPS = 24;
const IN_GROUP = 8;
/** Number of retries if the service is busy. */
const TRIES = 10;

/** Items and what they have in common. @typedef {{label: string, ids: readonly string[]}} Some */

/**
 * @param {string} name of the dataset
 * @param {object} options
 * @param {() => number|null} options.shown the version
 * @param {() => number|null} options.pinned the version if it is not the newest
 * @param {(some: Some) => void} options.show shows these items
 * @param {(problem: string) => void} options.showProblem
 * @param {() => void} options.onFilesRead called after files were read: more is known about them
 * @param {() => string|null} options.denied why items cannot be removed or excluded
 * @param {(what: import("./items_panel.js").ItemChange, ids: readonly string[]) => Promise<boolean>} options.change
 */
export function checkPanel(name, options) {
  let settings = recallSettings();
  /** @type {AbortController|null} */
  let running = null;
  /** The version of the result shown. @type {number|null} */
  let checked = null;
  const result = h("div.stack.check-result", { "aria-live": "polite" });
  const form = settingsForm("check", settings, (now) => {
    settings = now;
  });
  const button = h("button.button.primary", { type: "submit" }, icon("check"), t("check.do"));
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
      // One request reads files for some seconds; repeating it continues.
      for (;;) {
        const request = { ...checkRequest(settings), version: String(options.shown()) };
        const found = await patiently(() => data.check(name, request, mine.signal), mine.signal);
        if (mine.signal.aborted) return;
        checked = found.version;
        fill(result, resultOf(found));
        if (!found.unexamined) break;
      }
      options.onFilesRead();
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
          h("p", t("check.looking", { n: count(found.items - found.unexamined), total: count(found.items) })),
        ),
      !found.unexamined && verdict(findings),
      h(
        "dl.figures-row.check-figures",
        figure("items", found.items),
        found.excluded > 0 && figure("problem.excluded", found.excluded),
        figure("check.trained", found.trained_items),
        figure("plan.epoch", found.steps_per_epoch),
        figure("check.buckets", found.buckets.length),
      ),
      findings.length > 0 &&
        h(
          "ul.findings",
          findings.map((finding) => findingItem(finding, "", null, undefined, actionsOf(finding))),
        ),
      found.notes.map((text, i) => note("idle", h("p", translate(text, found.note_codes[i])))),
      found.problems.length > 0 && [h("h3", t("check.problems")), problemList(found)],
      found.buckets.length > 0 && [
        h("h3", t("check.buckets")),
        h("p.faint.small", t("check.buckets.text")),
        bucketsPicture(found.buckets, (bucket) => options.show({ label: bucketName(bucket), ids: bucket.item_ids })),
      ],
      found.skipped.length > 0 && [h("h3", t("check.skipped")), skippedList(found)],
      duplicates(t("check.exact"), found.duplicates.exact, found.duplicates.exact_groups, found.duplicates.exact_extra),
      duplicates(t("check.near"), found.duplicates.near, found.duplicates.near_groups, found.duplicates.near_extra),
    ];
  }

  /** @param {API.DatasetCheck} found */
  const problemList = ({ problems }) =>
    h(
      "div.tag-row",
      problems.map(({ reason, items }) =>
        h(
          "button.button.small",
          { on: { click: () => options.showProblem(reason) } },
          `${problemLabel(reason)}: ${count(items)}`,
        ),
      ),
    );

  /** @param {API.DatasetCheck} found */
  const skippedList = ({ skipped }) =>
    h(
      "ul.findings",
      skipped.map(({ reason, items, item_ids: ids }) =>
        h(
          "li.finding",
          { data: { tone: "warn" } },
          icon("warn"),
          h("div.grow.foreign", `${count(items)}: ${labelFor("skipped", reason)} `),
          h(
            "button.button.small",
            { on: { click: () => options.show({ label: labelFor("skipped", reason), ids }) } },
            t("check.show"),
          ),
          changeButton("check.exclude", "exclude", ids),
          changeButton("check.remove", "remove", ids),
        ),
      ),
    );

  /** Actions on the items of a finding. @param {API.DatasetFinding} finding @returns {Child} */
  function actionsOf({ items, item_ids: ids }) {
    if (!items) return null;
    const show = () => options.show({ label: t("check.found"), ids });
    return h(
      "div.finding-actions",
      h("button.button.small", { on: { click: show } }, t("check.show")),
      changeButton("check.exclude", "exclude", ids),
      changeButton("check.remove", "remove", ids),
    );
  }

  /** @param {WordKey} label @param {import("./items_panel.js").ItemChange} what @param {readonly string[]} ids */
  function changeButton(label, what, ids) {
    const why = options.denied();
    const run = async () => {
      if (await options.change(what, ids)) await check();
    };
    return actionButton("small", why, run, t(label));
  }

  /** @param {string} title @param {readonly (readonly string[])[]} groups @param {number} total @param {readonly string[]} extra @returns {Child} */
  function duplicates(title, groups, total, extra) {
    if (!total) return null;
    return [
      h("h3", `${title}: ${count(total)}`),
      h("p.faint.small", t("check.keep.text")),
      h(
        "div.finding-actions",
        changeButton("check.keep", "remove", extra),
        changeButton("check.keep.exclude", "exclude", extra),
      ),
      h(
        "ul.duplicates",
        groups.slice(0, GROUPS).map((ids) =>
          h(
            "li",
            h(
              "button.duplicate-group",
              {
                "aria-label": t("check.group", { n: ids.length }),
                on: { click: () => options.show({ label: title, ids }) },
              },
              ids.slice(0, IN_GROUP).map((id) =>
                h("img", {
                  src: itemURL(name, id, "thumbnail", { size: 128, version: options.pinned() }),
                  alt: "",
                  loading: "lazy",
                }),
              ),
              ids.length > IN_GROUP && h("span.small.soft", `+${count(ids.length - IN_GROUP)}`),
            ),
          ),
        ),
      ),
      total > GROUPS && h("p.faint.small", t("more", { n: count(total - GROUPS) })),
    ];
  }

  const element = panel(
    "",
    t("check"),
    h("p.tools.faint.small", t("check.text")),
    h("form.body.stack", { on: { submit } }, form, h("div.choices", button)),
    h("div.body", result),
  );
  fill(result, h("p.faint.small", t("check.hint")));
  return {
    element,
    /** Checks again if another version is shown: ids and counts have changed. */
    async refetch() {
      if (checked !== null && checked !== options.shown()) await attempt(check);
    },
    close: () => running?.abort(),
  };
}

/**
 * Retries while the service is busy with other files.
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
const figure = (label, value) => h("div.stat", h("dt.label", t(label)), h("dd", h("b", count(value))));
