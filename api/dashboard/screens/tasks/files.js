// Checkpoints and files of a training, with downloads.

import { whyNot } from "../../app/access.js";
import { api, artifactURL } from "../../app/api.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { taskAddress } from "../../app/router.js";
import { actionButton } from "../../ui/buttons.js";
import { askSure } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { bytes, count, percent } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { pages } from "../../ui/pager.js";
import { panel } from "../../ui/panel.js";
import { isFinished } from "../../ui/status.js";
import { headings, table } from "../../ui/table.js";
import { time } from "../../ui/time.js";
import { attempt, toast } from "../../ui/toast.js";
import { retentionView } from "./retention.js";

// An export has no event on the stream of its training. It takes seconds, or minutes if the trainer makes it.
const EXPORT_MS = 1000;
const TRAINER_MS = 5000;

/** @param {string} path */
const fileName = (path) => path.split("/").slice(-2).join("/");

/**
 * @param {string} taskId @param {() => unknown} refetch loads checkpoints and files again
 * @param {ReturnType<typeof import("./comfyui.js").comfyModels>} comfy
 */
export function filesView(taskId, refetch, comfy) {
  /** Models that the trainer itself saved, which no list of exports has. @type {Map<string, API.Export>} */
  const saved = new Map();
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let soon;
  /** @param {string} checkpoint @param {API.Export["method"]|null} method null: directly if that is possible */
  const startExport = async (checkpoint, method) => {
    const made = await api.exportCheckpoint(taskId, checkpoint, method);
    if (made.export_id === null) saved.set(checkpoint, made);
    if (made.method === "resume" && !isFinished(made.status))
      toast("ok", t("exported.by_trainer.started", { step: count(made.step) }));
    refetch();
  };
  const [checkpoints, files, retention] = [h("div"), h("div"), retentionView(taskId, refetch)];
  const total = h("span.soft.small.tools");
  const [checkpointPages, filePages] = [pages(), pages()];
  /** @param {WordKey} key @param {Child} body @param {Child} foot @param {Child} [extra] */
  const own = (key, body, foot, extra) => panel("", t(key), extra, h("div.body", body), foot);
  return {
    element: h(
      "div.two",
      h("div.file-column", own("checkpoints", checkpoints, checkpointPages.foot), retention.element),
      own("files", files, filePages.foot, total),
    ),
    /** @param {API.Task} task @param {API.ArtifactList} found @param {API.Export[]} exports */
    update(task, found, exports) {
      const denied = whyNot("training:write", task.owner);
      const exported = (/** @type {API.Checkpoint} */ each) =>
        exports.find((one) => one.checkpoint === each.name && (one.created_at ?? "") >= each.created_at) ??
        saved.get(each.name);
      const remove = (/** @type {API.Checkpoint} */ each) => deleteButton(taskId, each, denied, refetch);
      const lora = (/** @type {API.Checkpoint} */ each) => loraCell(taskId, each, exported(each), denied, startExport);
      checkpointPages.update(newestFirst(task.checkpoints), (rows) =>
        fill(
          checkpoints,
          rows.length ? checkpointTable(rows, lora, remove) : h("p.faint.small", t("checkpoints.none")),
        ),
      );
      retention.element.hidden = task.kind !== "training";
      void attempt(() => retention.update(task));
      clearTimeout(soon);
      const open = exports.filter((one) => !isFinished(one.status));
      const isQuick = open.some((one) => one.method === "direct");
      if (open.length > 0) soon = setTimeout(refetch, isQuick ? EXPORT_MS : TRAINER_MS);
      // A checkpoint is shown as one entry, though it has many files.
      const shown = found.artifacts.filter(({ kind }) => kind !== "checkpoint");
      fill(
        total,
        found.artifacts.length > 0 &&
          t("files.total", { n: count(found.pagination.total), size: bytes(found.total_bytes) }),
      );
      filePages.update(shown, (rows) =>
        fill(files, rows.length ? fileTable(task, rows, comfy) : h("p.faint.small", t("files.none"))),
      );
    },
    close: () => clearTimeout(soon),
  };
}

/** By time: after a resume from an older checkpoint, later writes are newer. @param {API.Checkpoint[]} checkpoints */
const newestFirst = (checkpoints) =>
  [...checkpoints].sort((a, b) => b.created_at.localeCompare(a.created_at) || (b.step ?? 0) - (a.step ?? 0));

/**
 * The export of a checkpoint: a button, then its progress, then the download.
 * @param {string} taskId @param {API.Checkpoint} checkpoint @param {API.Export|undefined} made
 * @param {string|null} denied @param {(checkpoint: string, method: API.Export["method"]|null) => unknown} start
 */
function loraCell(taskId, checkpoint, made, denied, start) {
  if (!checkpoint.is_complete) return null;
  if (made?.path) {
    const href = artifactURL(taskId, made.path);
    const link = h("a.download", { href, download: "", title: made.path }, icon("down"), t("exported.download"));
    if (made.step === checkpoint.step) return link;
    const text = t("exported.step", { step: count(made.step) });
    return [link, " ", h("span.soft.small", { title: t("exported.step.help") }, text)];
  }
  if (made && !isFinished(made.status)) {
    const why = made.waiting_reason && translate(made.waiting_reason, made.waiting_reason_code);
    if (made.method === "direct")
      return h(
        "span.soft",
        { tabindex: -1, title: why },
        t("exported.running", { percent: percent(made.progress ?? 0) }),
      );
    const title = why ?? t("exported.by_trainer.help");
    return h("a", { href: taskAddress(made.export_id ?? ""), title }, labelFor("task", made.status));
  }
  const failure = made?.failure;
  // What the service cannot read, the trainer may.
  const byTrainer = made?.method === "direct" && failure?.code === "refused_file";
  const label = t(byTrainer ? "exported.by_trainer" : made ? "exported.again" : "exported.ask");
  const ask = () => start(checkpoint.name, byTrainer ? "resume" : null);
  const button = actionButton("small", denied, ask, label);
  if (!failure) return button;
  const help = byTrainer ? t("exported.by_trainer.help") : translate(failure.remedy, failure.remedy_code);
  return [h("p.bad.small.foreign", { title: help }, translate(failure.detail, failure.detail_code)), button];
}

/** @param {string} id @param {API.Checkpoint} checkpoint @param {() => unknown} refetch */
async function removeCheckpoint(id, { name }, refetch) {
  const isSure = await askSure({
    title: t("checkpoint.delete.title"),
    text: [h("p", h("strong.mono", name)), h("p", t("checkpoint.delete.text"))],
    action: t("delete"),
  });
  if (!isSure) return;
  const deleted = await api.removeCheckpoint(id, name);
  toast("ok", t("checkpoint.deleted", { name, size: bytes(deleted.freed_bytes) }));
  refetch();
}

/** @param {string} id @param {API.Checkpoint} checkpoint @param {string|null} denied @param {() => unknown} refetch */
function deleteButton(id, checkpoint, denied, refetch) {
  const remove = () => removeCheckpoint(id, checkpoint, refetch);
  const button = actionButton("small", denied, remove, icon("trash"), t("delete"));
  button.ariaLabel = t("checkpoint.delete", { name: checkpoint.name });
  button.title ||= button.ariaLabel;
  return button;
}

/**
 * @param {API.Checkpoint[]} checkpoints
 * @param {(checkpoint: API.Checkpoint) => Child} lora @param {(checkpoint: API.Checkpoint) => Child} remove
 */
function checkpointTable(checkpoints, lora, remove) {
  const state = (/** @type {API.Checkpoint} */ each) =>
    each.is_latest ? "latest" : each.is_complete ? "complete" : "partial";
  const row = (/** @type {API.Checkpoint} */ each) =>
    h(
      "tr",
      h("td.mono", each.name),
      h("td.num", count(each.step)),
      h("td.num", bytes(each.size_bytes)),
      h("td", time(each.created_at)),
      h("td", { class: each.is_complete ? "ok" : "warn" }, t(`checkpoint.${state(each)}`)),
      h("td", lora(each)),
      h("td", remove(each)),
    );
  const heads = headings("name", "step", "size", "time", "status", "exported", "actions");
  return table(heads, checkpoints.map(row), "checkpoint-table");
}

/**
 * @param {API.Task} task @param {API.Artifact[]} artifacts
 * @param {ReturnType<typeof import("./comfyui.js").comfyModels>} comfy
 */
function fileTable(task, artifacts, comfy) {
  const link = (/** @type {API.Artifact} */ each) =>
    h(
      "a.download.foreign",
      { href: artifactURL(task.task_id, each.path), download: each.download_name, title: each.path },
      icon("down"),
      each.path.endsWith(`/${each.download_name}`) ? fileName(each.path) : each.download_name,
    );
  const row = (/** @type {API.Artifact} */ each) =>
    h(
      "tr",
      h("td", link(each), " ", comfy.preview(each.path)),
      h("td.soft", labelFor("filekind", each.kind)),
      h("td.num", bytes(each.size_bytes)),
      h("td", time(each.modified_at)),
      comfy.isThere && h("td", comfy.button(task, each.path)),
    );
  const heads = headings("name", "kind", "size", "time", ...(comfy.isThere ? [/** @type {const} */ ("actions")] : []));
  return table(heads, artifacts.map(row), "file-table");
}
