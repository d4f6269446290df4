// Names and numbers of GPUs: "GPU 8" is the one with index 8, "8 GPUs" is a number of GPUs.

import { t } from "../app/i18n.js";
import { gpuAddress } from "../app/router.js";
import { h } from "./dom.js";
import { isKnown, UNKNOWN } from "./format.js";

/** The word before the indexes. @param {unknown[]} numbers */
const before = (numbers) => t(numbers.length === 1 ? "gpu.n" : "gpus.n", { n: "" }).trim();

/** GPU 8, GPUs 0–5: for indexes that are text already. @param {string} numbers */
export const gpusCalled = (numbers) => t(/^[^,–]*$/.test(numbers) ? "gpu.n" : "gpus.n", { n: numbers });

/** GPU 8, GPUs 0, 1. @param {number[]} numbers */
export const gpuNames = (numbers) => (numbers.length ? `${before(numbers)} ${numbers.join(", ")}` : UNKNOWN);

/** GPU 8; with a dash if the index is unknown. @param {number|string|null} id */
export const gpuName = (id) => t("gpu.n", { n: id ?? UNKNOWN });

/** A key that is unique on the page. @param {API.GPU} gpu */
export const gpuKey = ({ node, uuid, gpu_id: index }) => (node ? `${node} ${uuid ?? index}` : (uuid ?? index));

/**
 * The name of a GPU in addresses; with its machine if there are several.
 * @param {{node?: string|null, gpu_id: number|null}} gpu
 */
export const gpuReference = ({ node, gpu_id: index }) => (node && isKnown(index) ? `${node}:${index}` : index);

/** The number of GPUs needed. @param {number} count */
const gpusWanted = (count) => t(count === 1 ? "gpus.wanted.one" : "gpus.wanted", { n: count });

/** The GPUs as links, or the number needed while none is assigned. @param {API.Row} task @returns {Child} */
export function gpuLinks(task) {
  if (!task.gpu_ids.length) return h("span.faint", gpusWanted(task.gpu_count));
  const link = (/** @type {number|null} */ id) => (isKnown(id) ? h("a", { href: gpuAddress(id) }, id) : UNKNOWN);
  return [before(task.gpu_ids), " ", task.gpu_ids.map((id, i) => [i > 0 && ", ", link(id)])];
}
