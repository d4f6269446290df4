// The files of a selection or drop, including those in folders.

/** A file, and its path in the dataset. @typedef {{file: File, path: string}} Found */

/** Files that operating systems leave in folders. */
const IGNORED = /^(\.|Thumbs\.db$|desktop\.ini$|__MACOSX$)/i;
/** Folder names with a number of repeats are significant. */
const HAS_REPEATS = /^\d+_/;

/**
 * The dropped files. Must be called while the event is handled.
 * @param {DataTransfer} transfer @returns {Promise<Found[]>}
 */
export async function droppedFiles(transfer) {
  const found = await Promise.all([...transfer.items].map(filesIn));
  return belowOneFolder(found.flat());
}

/** Files dragged from other programs may have no file system entry. @param {DataTransferItem} item */
async function filesIn(item) {
  const [entry, file] = [item.webkitGetAsEntry(), item.getAsFile()];
  if (entry) return filesOf(entry, "");
  return file && isRelevant({ file, path: file.name }) ? [{ file, path: file.name }] : [];
}

/** The files chosen in an input. @param {HTMLInputElement} input */
export const chosenFiles = (input) =>
  belowOneFolder(
    [...(input.files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name })).filter(isRelevant),
  );

/** The name of the single top folder, as the name of a new dataset. @param {DataTransfer} transfer */
export const folderName = (transfer) => {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  return entries.length === 1 ? entries[0].name.replace(/\.(zip|tar|tgz|tar\.\w+)$/i, "") : "";
};

/** @param {FileSystemEntry} entry @param {string} above @returns {Promise<Found[]>} */
async function filesOf(entry, above) {
  if (IGNORED.test(entry.name)) return [];
  const path = above + entry.name;
  if (isFile(entry)) {
    const file = /** @type {File} */ (await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return [{ file, path }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {Found[]} */
  const found = [];
  for (;;) {
    // Browsers return entries in batches.
    const some = /** @type {FileSystemEntry[]} */ (
      await new Promise((resolve, reject) => reader.readEntries(resolve, reject))
    );
    if (!some.length) return found;
    for (const each of some) found.push(...(await filesOf(each, `${path}/`)));
  }
}

/** @param {FileSystemEntry} entry @returns {entry is FileSystemFileEntry} */
const isFile = (entry) => entry.isFile;

/** @param {Found} found */
const isRelevant = ({ path }) => !path.split("/").some((part) => IGNORED.test(part));

/** Removes a common top folder, unless its name has a number of repeats. @param {Found[]} files */
function belowOneFolder(files) {
  const [first] = files[0]?.path.split("/") ?? [];
  const isAround = files.every(({ path }) => path.startsWith(`${first}/`));
  const shown = isAround && !HAS_REPEATS.test(first) ? files.map(cutFirst) : files;
  return shown.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** @param {Found} found */
const cutFirst = ({ file, path }) => ({ file, path: path.slice(path.indexOf("/") + 1) });
