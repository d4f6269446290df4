// The files of what was chosen or dropped: of folders all that is in them.

/** A file, and its path below the dataset. @typedef {{file: File, path: string}} Found */

/** What systems leave in folders. */
const LITTER = /^(\.|Thumbs\.db$|desktop\.ini$|__MACOSX$)/i;
/** A folder whose name says how often its files are repeated keeps its name. */
const SAYS_SOMETHING = /^\d+_/;

/** What was dropped. It has to be called while the event is handled. @param {DataTransfer} transfer @returns {Promise<Found[]>} */
export async function droppedFiles(transfer) {
  const found = await Promise.all([...transfer.items].map(filesIn));
  return belowOneFolder(found.flat());
}

/** What is dragged out of another program may have no entry in a file system. @param {DataTransferItem} item */
async function filesIn(item) {
  const [entry, file] = [item.webkitGetAsEntry(), item.getAsFile()];
  if (entry) return filesOf(entry, "");
  return file && isWanted({ file, path: file.name }) ? [{ file, path: file.name }] : [];
}

/** What was chosen by an input. @param {HTMLInputElement} input */
export const chosenFiles = (input) =>
  belowOneFolder(
    [...(input.files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name })).filter(isWanted),
  );

/** The name of the folder that holds all, for a new dataset. @param {DataTransfer} transfer */
export const folderName = (transfer) => {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  return entries.length === 1 ? entries[0].name.replace(/\.(zip|tar|tgz|tar\.\w+)$/i, "") : "";
};

/** @param {FileSystemEntry} entry @param {string} above @returns {Promise<Found[]>} */
async function filesOf(entry, above) {
  if (LITTER.test(entry.name)) return [];
  const path = above + entry.name;
  if (isFile(entry)) {
    const file = /** @type {File} */ (await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return [{ file, path }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {Found[]} */
  const found = [];
  for (;;) {
    // A browser gives some at a time.
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
const isWanted = ({ path }) => !path.split("/").some((part) => LITTER.test(part));

/** A folder around everything says nothing, unless by how often its files are repeated. @param {Found[]} files */
function belowOneFolder(files) {
  const [first] = files[0]?.path.split("/") ?? [];
  const isAround = files.every(({ path }) => path.startsWith(`${first}/`));
  const shown = isAround && !SAYS_SOMETHING.test(first) ? files.map(cutFirst) : files;
  return shown.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** @param {Found} found */
const cutFirst = ({ file, path }) => ({ file, path: path.slice(path.indexOf("/") + 1) });
