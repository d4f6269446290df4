// Downloads and pushes as they go on, and what can be done with each.

import { whyNot } from "../access.js";
import { fill, h, reconcile, setAttribute, setText } from "../dom.js";
import { bytes, duration, percent } from "../format.js";
import { t, tell, word } from "../i18n.js";
import { icon } from "../icons.js";
import { Store } from "../store.js";
import { meter } from "./meter.js";
import { polling } from "./polling.js";
import { note } from "./status.js";
import { attempt, toast } from "./toast.js";
import { waitingWords } from "./waiting.js";

/** How often they are asked for while one goes on. */
const LOOK_MS = 1500;

/** @typedef {API.Download|API.Push} Transfer */
/** @typedef {Transfer["status"]} Status */

/** @type {Record<Status, [string, import("../icons.js").IconName]>} */
const LOOKS = {
  queued: ["idle", "clock"],
  downloading: ["run", "down"],
  pushing: ["run", "up"],
  verifying: ["run", "spin"],
  paused: ["warn", "pause"],
  completed: ["ok", "check"],
  failed: ["bad", "cross"],
  cancelled: ["idle", "stop"],
};
/** @type {Partial<Record<Status, string>>} */
const LEVELS = { completed: "ok", failed: "bad", cancelled: "idle", paused: "warn" };

/** @param {Transfer} transfer */
export const isActive = ({ status }) => ["queued", "downloading", "pushing", "verifying"].includes(status);
/** @param {Transfer} transfer */
const isOver = ({ status }) => status === "completed" || status === "cancelled";

/** One file of a transfer; `text` is how much of it is there. @typedef {{name: string, title: string|null, text: string}} TransferFile */

/**
 * What tells downloads from pushes.
 * @template {Transfer} T
 * @typedef {object} TransferKind
 * @property {() => Promise<T[]>} ask newest first
 * @property {(id: string, what: "pause"|"resume"|"cancel") => Promise<unknown>} change
 * @property {(one: T) => string} idOf @property {(one: T) => string} nameOf
 * @property {(one: T) => TransferFile[]} filesOf
 * @property {(one: T) => Child} [resultOf] what is shown of one that is completed
 */

/**
 * Those that one may see, newest first; asked for again and again while one goes on.
 * @template {Transfer} T
 * @param {TransferKind<T>} kind
 * @param {() => unknown} finished called when one has ended
 */
export function watchTransfers(kind, finished) {
  const shown = new Store(/** @type {T[]} */ ([]));
  /** @type {Set<string>} */
  let active = new Set();
  const asked = polling(
    kind.ask,
    (found) => {
      shown.set(found);
      const now = new Set(found.filter(isActive).map(kind.idOf));
      if ([...active].some((id) => !now.has(id))) finished();
      active = now;
      return active.size > 0;
    },
    LOOK_MS,
  );
  return { kind, shown, ...asked };
}

/** @template {Transfer} T @typedef {{kind: TransferKind<T>, shown: Store<T[]>, refetch: () => Promise<void>, close: () => void}} Watched */

/**
 * @template {Transfer} T
 * @param {Watched<T>} watched
 * @param {(one: T) => boolean} [isShown]
 */
export function transferList({ kind, shown, refetch }, isShown = () => true) {
  /** @type {Map<string, ReturnType<typeof transferRow<T>>>} */
  const parts = new Map();
  const element = h("ul", { class: "download-list" });
  const draw = (/** @type {T[]} */ all) =>
    reconcile(element, parts, all.filter(isShown), kind.idOf, () => transferRow(kind, refetch));
  return { element, close: shown.watch(draw), draw: () => draw(shown.value) };
}

/** @template {Transfer} T @param {TransferKind<T>} kind @param {() => Promise<void>} refetch */
function transferRow(kind, refetch) {
  const [name, status, told] = [h("strong", { class: "foreign" }), h("span"), h("span", { class: "small soft" })];
  const chip = h("span", { class: "status chip" });
  const bar = meter(t("progress"));
  const share = h("b", { class: "small num" });
  const [buttons, problem, files] = [h("div", { class: "choices" }), h("div"), h("ul", { class: "download-files" })];
  const result = h("div", { class: "small" });
  const details = h("details", {}, h("summary", { class: "small soft" }, t("download.files")), files);
  /** @type {T|null} */
  let known = null;
  let actions = "";

  /** @param {"pause"|"resume"|"cancel"} what @param {import("../icons.js").IconName} sign */
  function button(what, sign) {
    const label = t(`download.${what}`);
    const denied = whyNot("models:write", known?.owner);
    const run = async () => {
      if (denied || !known) return toast("bad", denied ?? "");
      await kind.change(kind.idOf(known), what);
      await refetch();
    };
    return h(
      "button",
      {
        class: "icon-button small",
        type: "button",
        "aria-label": label,
        title: denied ?? label,
        "aria-disabled": denied ? "true" : null,
        on: { click: () => attempt(run) },
      },
      icon(sign),
    );
  }

  /** @param {T} now */
  function showButtons(now) {
    const wanted = isOver(now) ? "" : isActive(now) ? "pause cancel" : "resume cancel";
    if (wanted === actions) return;
    actions = wanted;
    const goesOn = wanted.startsWith("pause") ? button("pause", "pause") : button("resume", "resume");
    fill(buttons, wanted && [goesOn, now.status !== "failed" && button("cancel", "close")]);
  }

  return {
    element: h(
      "li",
      { class: "download-row" },
      h("div", { class: "download-head" }, chip, h("div", { class: "grow" }, name, " ", told), share, buttons),
      bar.element,
      status,
      problem,
      result,
      details,
    ),
    /** @param {T} now */
    update(now) {
      const isNew = known?.status !== now.status;
      known = now;
      setText(name, kind.nameOf(now));
      setText(share, percent(now.progress));
      bar.update(now.progress ?? (isOver(now) ? 100 : null), LEVELS[now.status]);
      bar.element.hidden = now.status === "completed" || now.status === "cancelled";
      setText(told, progressWords(now));
      if (isNew) {
        const [tone, sign] = LOOKS[now.status];
        setAttribute(chip, "data-tone", tone);
        fill(chip, icon(sign, sign === "spin" ? "spin" : ""), word("download", now.status));
        fill(result, now.status === "completed" && kind.resultOf?.(now));
        fill(
          problem,
          now.failure &&
            note(
              "bad",
              h("p", { class: "foreign" }, tell(now.failure.detail, now.failure.detail_code)),
              h("p", { class: "what-to-do" }, tell(now.failure.remedy, now.failure.remedy_code)),
            ),
        );
      }
      fill(
        status,
        now.waiting_reason &&
          h("p", { class: "small soft" }, waitingWords(now.waiting_reason, now.waiting_reason_code)),
        now.warnings.map((text) => h("p", { class: "small warn foreign" }, text)),
      );
      showButtons(now);
      const all = kind.filesOf(now);
      fill(files, all.map(fileRow));
      details.hidden = !all.length;
    },
  };
}

/** @param {TransferFile} file */
const fileRow = ({ name, title, text }) =>
  h(
    "li",
    { class: "small" },
    h("span", { class: "mono tiny foreign grow", title }, name),
    h("span", { class: "soft num nowrap" }, text),
  );

/** 3.2 / 23.8 GB, 85 MB/s, 4 min left @param {Transfer} transfer */
function progressWords(transfer) {
  const { bytes_done: done, bytes_total: total, bytes_per_second: speed, eta_seconds: left } = transfer;
  if (isOver(transfer)) return bytes(total);
  return [
    total === null ? "" : t("download.done", { done: bytes(done), total: bytes(total) }),
    isActive(transfer) && speed ? t("download.speed", { speed: bytes(speed) }) : "",
    isActive(transfer) && left ? t("left", { time: duration(left) }) : "",
  ]
    .filter(Boolean)
    .join(" · ");
}
