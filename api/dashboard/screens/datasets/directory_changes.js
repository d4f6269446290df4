// Changes in the directory of a registered dataset since its version, with an action to read it again.

import { data } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";

/** @typedef {NonNullable<API.Dataset["watch"]>} Watch */

/**
 * @param {API.Dataset} dataset
 * @param {string|null} denied  unknown} changed called when it is being read=>why the user may not read it again @param {() => unknown} changed called when reading has started=> unknown} changed called when it is being read
 * @returns {Child}
 */
export function watchNote({ name, watch }, denied, changed) {
  if (!watch) return null;
  if (watch.state === "reading") return note("run", h("p", {}, readingText(watch)));
  const faults = watch.misnamed + watch.unread;
  const leftOut = faults + watch.left_out;
  if (watch.state === "same" && !leftOut) return null;
  const read = async () => {
    if (denied) return toast("bad", denied);
    await data.refresh(name);
    changed();
  };
  return note(
    watch.state === "gone" ? "bad" : watch.state === "same" && !faults ? "idle" : "warn",
    watch.state !== "same" && h("p", {}, changeText(watch)),
    watch.problem && h("p", { class: "foreign" }, watch.problem),
    leftOut > 0 && findings(watch, leftOut),
    h(
      "button",
      {
        class: "button small",
        title: denied,
        "aria-disabled": denied ? "true" : null,
        on: { click: () => void attempt(read) },
      },
      icon("redo"),
      t("watch.read"),
    ),
  );
}

/** @param {Watch} watch */
function readingText({ read_bytes: read, total_bytes: total }) {
  return total ? t("watch.reading.n", { read: bytes(read), total: bytes(total) }) : t("watch.reading");
}

/** @param {Watch} watch */
function changeText({ state, added, removed, changed }) {
  if (state === "gone") return t("watch.missing");
  return t("watch.changed", { added: count(added), removed: count(removed), changed: count(changed) });
}

/** @param {Watch} watch @param {number} leftOut */
function findings(watch, leftOut) {
  const shown = watch.findings.map(({ path, problem, text }) =>
    h("li", { title: text }, h("code", { class: "foreign" }, path), " ", t(`watch.${problem}`)),
  );
  if (leftOut > shown.length) shown.push(h("li", {}, t("watch.more", { n: count(leftOut - shown.length) })));
  return [h("p", {}, t("watch.left_out", { n: count(leftOut) })), h("ul", {}, shown)];
}
