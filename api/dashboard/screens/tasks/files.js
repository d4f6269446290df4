// Checkpoints and files of a training, with downloads.

import { artifactURL } from "../../app/api.js";
import { labelFor, t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { table } from "../../ui/table.js";
import { time } from "../../ui/time.js";

/** @param {string} path */
const fileName = (path) => path.split("/").slice(-2).join("/");

/** @param {string} taskId */
export function filesView(taskId) {
  const [checkpoints, files] = [h("div"), h("div")];
  const total = h("span", { class: "soft small tools" });
  /** @param {WordKey} key @param {Child} body @param {Child} [extra] */
  const panel = (key, body, extra) =>
    h(
      "section",
      { class: "panel", "aria-label": t(key) },
      h("header", {}, h("h2", {}, t(key)), extra),
      h("div", { class: "body" }, body),
    );
  return {
    elements: [panel("checkpoints", checkpoints), panel("files", files, total)],
    /** @param {API.Task} task @param {API.ArtifactList} found */
    update(task, found) {
      fill(
        checkpoints,
        task.checkpoints.length
          ? checkpointTable(task.checkpoints)
          : h("p", { class: "faint small" }, t("checkpoints.none")),
      );
      // A checkpoint is shown as one entry, though it has many files.
      const shown = found.artifacts.filter(({ kind }) => kind !== "checkpoint");
      fill(
        total,
        found.artifacts.length > 0 &&
          t("files.total", { n: count(found.pagination.total), size: bytes(found.total_bytes) }),
      );
      fill(files, shown.length ? fileTable(taskId, shown) : h("p", { class: "faint small" }, t("files.none")));
    },
  };
}

/** By time: after a resume from an older checkpoint, later writes are newer. @param {API.Checkpoint[]} checkpoints */
const newestFirst = (checkpoints) =>
  [...checkpoints].sort((a, b) => b.created_at.localeCompare(a.created_at) || (b.step ?? 0) - (a.step ?? 0));

/** @param {API.Checkpoint[]} checkpoints */
function checkpointTable(checkpoints) {
  const state = (/** @type {API.Checkpoint} */ each) =>
    each.is_latest ? "latest" : each.is_complete ? "complete" : "partial";
  const row = (/** @type {API.Checkpoint} */ each) =>
    h(
      "tr",
      {},
      h("td", { class: "mono" }, each.name),
      h("td", { class: "num" }, count(each.step)),
      h("td", { class: "num" }, bytes(each.size_bytes)),
      h("td", {}, time(each.created_at)),
      h("td", { class: each.is_complete ? "ok" : "warn" }, t(`checkpoint.${state(each)}`)),
    );
  return table(
    [
      { label: t("name") },
      { label: t("step"), isNumber: true },
      { label: t("size"), isNumber: true },
      { label: t("time") },
      { label: t("status") },
    ],
    newestFirst(checkpoints).map(row),
  );
}

/** @param {string} taskId @param {API.Artifact[]} artifacts */
function fileTable(taskId, artifacts) {
  const link = (/** @type {API.Artifact} */ each) =>
    h(
      "a",
      {
        class: "download foreign",
        href: artifactURL(taskId, each.path),
        download: each.download_name,
        title: each.path,
      },
      icon("down"),
      each.path.endsWith(`/${each.download_name}`) ? fileName(each.path) : each.download_name,
    );
  const row = (/** @type {API.Artifact} */ each) =>
    h(
      "tr",
      {},
      h("td", {}, link(each)),
      h("td", { class: "soft" }, labelFor("filekind", each.kind)),
      h("td", { class: "num" }, bytes(each.size_bytes)),
      h("td", {}, time(each.modified_at)),
    );
  return table(
    [{ label: t("name") }, { label: t("kind") }, { label: t("size"), isNumber: true }, { label: t("time") }],
    artifacts.map(row),
    "file-table",
  );
}
