// Downloads and pushes as they go on, and what can be done with each.

import { t } from "../../app/i18n.js";
import { soon } from "../../app/soon.js";
import { Store } from "../../app/store.js";
import { h, reconcile } from "../../ui/dom.js";
import { polling } from "../../ui/polling.js";
import { toast } from "../../ui/toast.js";

/** A screen may show none: then the rows are not loaded. @type {typeof import("./transfer_row.js")|null} */
let rows = null;
const learnRows = async () => {
  rows ??= await import("./transfer_row.js");
};

/** How often they are asked for while one goes on. */
const LOOK_MS = 1500;
/** So long after news of tasks, of which several come at once. */
const NEWS_MS = 300;

/** @typedef {API.Download|API.Push} Transfer */
/** @typedef {import("./transfer_actions.js").Deed} Deed */

/** @param {Transfer} transfer */
export const isActive = ({ status }) => ["queued", "downloading", "pushing", "verifying"].includes(status);
/** @param {Transfer} transfer */
export const isOver = ({ status }) => status === "completed" || status === "cancelled";

/** One file of a transfer; `text` is how much of it is there. @typedef {{name: string, title: string|null, text: string}} TransferFile */

/**
 * What tells downloads from pushes.
 * @template {Transfer} T
 * @typedef {object} TransferKind
 * @property {() => Promise<T[]>} ask newest first
 * @property {(id: string, what: Deed) => Promise<T>} change
 * @property {{title: WordKey, text: WordKey, sure: WordKey, keep: WordKey}} question before one is cancelled
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
  /** What was asked here and has not happened yet, and whether the service has said yes. @type {Map<string, {deed: Deed, isTaken: boolean}>} */
  const asked = new Map();
  const { refetch, close: end } = polling(
    kind.ask,
    (found) => {
      for (const one of found) if (hasHappened(one)) settle(one);
      shown.set(found);
      const now = new Set(found.filter(isActive).map(kind.idOf));
      if ([...active].some((id) => !now.has(id))) finished();
      active = now;
      return active.size > 0;
    },
    LOOK_MS,
  );

  /** A list that was asked for before does not know it yet. @param {T} one */
  function hasHappened(one) {
    const known = asked.get(kind.idOf(one));
    return known?.isTaken && (known.deed === "cancel" ? isOver(one) : !isActive(one));
  }

  /** @param {T} one */
  function settle(one) {
    const { deed } = /** @type {{deed: Deed}} */ (asked.get(kind.idOf(one)));
    asked.delete(kind.idOf(one));
    if (deed !== "cancel") return;
    if (one.status === "cancelled") toast("ok", t("download.cancel.done", { name: kind.nameOf(one) }));
    else rows?.tellLate(kind.nameOf(one));
  }

  /** Does it, and says what came of it. @param {T} one @param {Deed} deed */
  async function change(one, deed) {
    const id = kind.idOf(one);
    const known = { deed, isTaken: false };
    asked.set(id, known);
    shown.set([...shown.value]);
    try {
      const now = await kind.change(id, deed);
      known.isTaken = true;
      if (deed === "resume") asked.delete(id);
      else if (deed === "cancel" && isActive(now)) toast("ok", t("download.cancel.asked"));
    } catch (error) {
      asked.delete(id);
      rows?.tellUndone(error, deed, kind.nameOf(one));
    }
    await refetch().catch(() => shown.set([...shown.value]));
  }

  // Others begin and end them, too: in another tab, or by a script.
  const look = soon(() => refetch().catch(() => {}), NEWS_MS);
  const close = () => {
    look.cancel();
    end();
  };
  const askedOf = (/** @type {T} */ one) => asked.get(kind.idOf(one))?.deed;
  return { kind, shown, refetch, look, close, change, askedOf };
}

/**
 * @template {Transfer} T
 * @typedef {{kind: TransferKind<T>, shown: Store<T[]>, refetch: () => Promise<void>, look: () => void,
 *   close: () => void, change: (one: T, deed: Deed) => Promise<void>, askedOf: (one: T) => Deed|undefined}} Watched
 */

/**
 * @template {Transfer} T
 * @param {Watched<T>} watched
 * @param {(one: T) => boolean} [isShown]
 */
export function transferList(watched, isShown = () => true) {
  /** @type {Map<string, import("../../ui/dom.js").Part<T>>} */
  const parts = new Map();
  const element = h("ul", { class: "download-list" });
  function draw(/** @type {T[]} */ all) {
    const own = all.filter(isShown);
    const known = rows;
    // What is drawn then is what is known then.
    if (!known)
      return own.length
        ? void learnRows().then(
            () => draw(watched.shown.value),
            () => {},
          )
        : undefined;
    const hadFocus = element.contains(document.activeElement);
    reconcile(element, parts, own, watched.kind.idOf, () => known.transferRow(watched));
    // Its row is gone: the keyboard goes on where the list is.
    if (hadFocus && !element.contains(document.activeElement)) known.focusOn(element.closest("section"));
  }
  return { element, close: watched.shown.watch(draw), draw: () => draw(watched.shown.value) };
}
