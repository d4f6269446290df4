// Downloads and pushes: polling and actions.

import { soon } from "../../app/debounce.js";
import { t } from "../../app/i18n.js";
import { Store } from "../../app/store.js";
import { h, reconcile } from "../../ui/dom.js";
import { polling } from "../../ui/polling.js";
import { toast } from "../../ui/toast.js";
import { isActive, isOver } from "./transfer.js";

/** The row module is loaded with the first transfer. @type {typeof import("./transfer_row.js")|null} */
let rows = null;
const loadRows = async () => {
  rows ??= await import("./transfer_row.js");
};

/** Poll interval while a transfer is active. */
const POLL_MS = 1500;
/** Delay after events of tasks, which come in bursts. */
const NEWS_MS = 300;

/** @typedef {import("./transfer.js").TransferAction} TransferAction */
/** @template {import("./transfer.js").Transfer} T @typedef {import("./transfer.js").TransferKind<T>} TransferKind */

/**
 * The transfers visible to the user, newest first; polled while one is active.
 * @template {import("./transfer.js").Transfer} T
 * @param {TransferKind<T>} kind
 * @param {() => unknown} finished called when one has ended
 */
export function watchTransfers(kind, finished) {
  const shown = new Store(/** @type {T[]} */ ([]));
  /** @type {Set<string>} */
  let active = new Set();
  /**
   * Pending actions of this page, and whether the service has accepted them.
   * @type {Map<string, {action: TransferAction, isAccepted: boolean}>}
   */
  const pending = new Map();
  const { refetch, close: end } = polling(
    kind.ask,
    (found) => {
      for (const one of found) if (hasTakenEffect(one)) settle(one);
      shown.set(found);
      const now = new Set(found.filter(isActive).map(kind.idOf));
      if ([...active].some((id) => !now.has(id))) finished();
      active = now;
      return active.size > 0;
    },
    POLL_MS,
  );

  /** Whether the action has taken effect. An earlier response may not show it yet. @param {T} one */
  function hasTakenEffect(one) {
    const known = pending.get(kind.idOf(one));
    return known?.isAccepted && (known.action === "cancel" ? isOver(one) : !isActive(one));
  }

  /** @param {T} one */
  function settle(one) {
    const { action } = /** @type {{action: TransferAction}} */ (pending.get(kind.idOf(one)));
    pending.delete(kind.idOf(one));
    if (action !== "cancel") return;
    if (one.status === "cancelled") toast("ok", t("download.cancel.done", { name: kind.nameOf(one) }));
    else rows?.reportEnded(kind.nameOf(one));
  }

  /** Runs an action and reports the result. @param {T} one @param {TransferAction} action */
  async function change(one, action) {
    const id = kind.idOf(one);
    const known = { action, isAccepted: false };
    pending.set(id, known);
    shown.set([...shown.value]);
    try {
      const now = await kind.change(id, action);
      known.isAccepted = true;
      if (action === "resume") pending.delete(id);
      else if (action === "cancel" && isActive(now)) toast("ok", t("download.cancel.started"));
    } catch (error) {
      pending.delete(id);
      rows?.reportFailure(error, action, kind.nameOf(one));
    }
    await refetch().catch(() => shown.set([...shown.value]));
  }

  // Other tabs and scripts start and end transfers, too.
  const refetchSoon = soon(() => refetch().catch(() => {}), NEWS_MS);
  const close = () => {
    refetchSoon.cancel();
    end();
  };
  const pendingAction = (/** @type {T} */ one) => pending.get(kind.idOf(one))?.action;
  return { kind, shown, refetch, refetchSoon, close, change, pendingAction };
}

/**
 * @template {import("./transfer.js").Transfer} T
 * @param {import("./transfer.js").Watched<T>} watched
 * @param {(one: T) => boolean} [isShown]
 */
export function transferList(watched, isShown = () => true) {
  /** @type {Map<string, import("../../ui/dom.js").Part<T>>} */
  const parts = new Map();
  const element = h("ul.download-list");
  function draw(/** @type {T[]} */ all) {
    const own = all.filter(isShown);
    const known = rows;
    // The first list is drawn when it arrives.
    if (!known)
      return own.length
        ? void loadRows().then(
            () => draw(watched.shown.value),
            () => {},
          )
        : undefined;
    const hadFocus = element.contains(document.activeElement);
    reconcile(element, parts, own, watched.kind.idOf, () => known.transferRow(watched));
    // The row was removed: move the focus to the list.
    if (hadFocus && !element.contains(document.activeElement)) known.focusOn(element.closest("section"));
  }
  return { element, close: watched.shown.watch(draw), draw: () => draw(watched.shown.value) };
}
