// Downloads as a list of transfers.

import { models } from "../../app/api_models.js";
import { bytes } from "../../ui/format.js";
import { transferList, watchTransfers } from "./transfers.js";

const LIST = 30;

/** @type {import("./transfer.js").TransferKind<API.Download>} */
const DOWNLOADS = {
  ask: async () => (await models.downloads({ limit: LIST })).downloads,
  change: models.change,
  question: {
    title: "download.cancel.title",
    text: "download.cancel.text",
    sure: "download.cancel.do",
    keep: "download.cancel.keep",
  },
  idOf: ({ download_id: id }) => id,
  nameOf: ({ name, model_id: model, version, download_id: id }) =>
    name ?? (model ? [model, version].filter(Boolean).join(" · ") : id),
  filesOf: ({ components }) =>
    components.map(({ name, size, downloaded, path, status }) => ({
      name,
      title: path,
      text: status === "completed" || path ? bytes(size) : `${bytes(downloaded)} / ${bytes(size)}`,
    })),
};

/** @typedef {import("./transfer.js").Watched<API.Download>} Downloads */

/**
 *  unknown} finished called when one has ended=>The downloads visible to the user.
 * @param {() => unknown} finished called when one has ended=> unknown} finished called when one has ended @returns {Downloads}
 */
export const watchDownloads = (finished) => watchTransfers(DOWNLOADS, finished);

/** @param {Downloads} downloads @param {(download: API.Download) => boolean} [isShown] */
export const downloadList = (downloads, isShown) => transferList(downloads, isShown);
