// The row of a download or push: progress, problem, and actions. Loaded with the first transfer.

import { labelFor, t, translate } from "../../app/i18n.js";
import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { bytes, duration, percent } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { meter } from "../../ui/meter.js";
import { note } from "../../ui/status.js";
import { waitingText } from "../../ui/waiting.js";
import { isActive, isOver } from "./transfer.js";
import { actionButtons } from "./transfer_actions.js";

/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {import("./transfer.js").TransferFile} TransferFile */
/** @typedef {import("./transfer.js").TransferAction} TransferAction */
/** @typedef {Transfer["status"]} Status */
/** @template {Transfer} T @typedef {import("./transfer.js").Watched<T>} Watched */

export { reportEnded, reportFailure } from "./transfer_actions.js";

/** @type {Record<Status, [string, import("../../ui/icons.js").IconName]>} */
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

/** The look while an action is pending. @type {[string, import("../../ui/icons.js").IconName]} */
const ENDING = ["warn", "spin"];

/** @param {HTMLElement|null} element */
export function focusOn(element) {
  element?.setAttribute("tabindex", "-1");
  element?.focus({ preventScroll: true });
}

/** @template {Transfer} T @param {Watched<T>} watched */
export function transferRow({ kind, change, pendingAction }) {
  const [name, status, amount] = [h("strong.foreign"), h("span"), h("span.small.soft")];
  const chip = h("span.status.chip");
  const bar = meter(t("progress"));
  const share = h("b.small.num");
  const [problem, files] = [h("div"), h("ul.download-files")];
  const buttons = actionButtons(kind, change);
  const result = h("div.small");
  const details = h("details", h("summary.small.soft", t("download.files")), files);
  let drawn = "";
  const element = h(
    "li.download-row",
    h("div.download-head", chip, h("div.grow", name, " ", amount), share, buttons.element),
    bar.element,
    status,
    problem,
    result,
    details,
  );

  /** @param {T} now @param {TransferAction|undefined} pending */
  function showStatus(now, pending) {
    const [tone, sign] = pending ? ENDING : LOOKS[now.status];
    setAttribute(chip, "data-tone", tone);
    const shown = pending ? t(`download.${pending}.busy`) : labelFor("download", now.status);
    fill(chip, icon(sign, sign === "spin" ? "spin" : ""), shown);
    fill(result, now.status === "completed" && kind.resultOf?.(now));
    fill(
      problem,
      now.failure &&
        note(
          "bad",
          h("p.foreign", translate(now.failure.detail, now.failure.detail_code)),
          h("p.what-to-do", translate(now.failure.remedy, now.failure.remedy_code)),
        ),
    );
  }

  /** @param {T} now @param {boolean} isAsked */
  function showButtons(now, isAsked) {
    const hadFocus = buttons.element.contains(document.activeElement);
    buttons.update(now, isOver(now) ? "over" : isActive(now) ? "active" : "paused", isAsked);
    if (hadFocus && isOver(now)) focusOn(element);
  }

  return {
    element,
    /** @param {T} now */
    update(now) {
      const pending = pendingAction(now);
      setText(name, kind.nameOf(now));
      // A cancelled transfer has no progress.
      setText(share, now.status === "cancelled" ? "" : percent(now.progress));
      bar.update(now.progress ?? (isOver(now) ? 100 : null), LEVELS[now.status]);
      bar.element.hidden = now.status === "completed" || now.status === "cancelled";
      setText(amount, progressText(now));
      const key = `${now.status} ${pending}`;
      if (key !== drawn) showStatus(now, pending);
      drawn = key;
      fill(
        status,
        now.waiting_reason && h("p.small.soft", waitingText(now.waiting_reason, now.waiting_reason_code)),
        now.warnings.map((text) => h("p.small.warn.foreign", text)),
      );
      showButtons(now, pending !== undefined);
      const all = kind.filesOf(now);
      fill(files, all.map(fileRow));
      details.hidden = !all.length;
    },
  };
}

/** @param {TransferFile} file */
const fileRow = ({ name, title, text }) =>
  h("li.small", h("span.mono.tiny.foreign.grow", { title }, name), h("span.soft.num.nowrap", text));

/** 3.2 / 23.8 GB, 85 MB/s, 4 min left @param {Transfer} transfer */
function progressText(transfer) {
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
