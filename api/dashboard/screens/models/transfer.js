// A download or push: its states, its actions, and how the two differ.

/** @typedef {API.Download|API.Push} Transfer */
/** @typedef {"pause"|"resume"|"cancel"} TransferAction */

/** @param {Transfer} transfer */
export const isActive = ({ status }) => ["queued", "downloading", "pushing", "verifying"].includes(status);
/** @param {Transfer} transfer */
export const isOver = ({ status }) => status === "completed" || status === "cancelled";

/**
 * A file of a transfer; `text` is its progress.
 * @typedef {{name: string, title: string|null, text: string}} TransferFile
 */

/**
 * The differences between downloads and pushes.
 * @template {Transfer} T
 * @typedef {object} TransferKind
 * @property {() => Promise<T[]>} ask lists them, newest first
 * @property {(id: string, what: TransferAction) => Promise<T>} change
 * @property {{title: WordKey, text: WordKey, sure: WordKey, keep: WordKey}} question the confirmation of a cancellation
 * @property {(one: T) => string} idOf @property {(one: T) => string} nameOf
 * @property {(one: T) => TransferFile[]} filesOf
 * @property {(one: T) => Child} [resultOf] the content shown for a completed one
 */

/**
 * @template {Transfer} T
 * @typedef {{kind: TransferKind<T>, shown: import("../../app/store.js").Store<T[]>, refetch: () => Promise<void>, refetchSoon: () => void,
 *   close: () => void, change: (one: T, action: TransferAction) => Promise<void>, pendingAction: (one: T) => TransferAction|undefined}} Watched
 */
