// Which GPUs a task has, or how many it wants: "GPU 8" is the one with that number, "8 GPUs" are so many.

import { t } from "../app/i18n.js";
import { gpuAddress } from "../app/router.js";
import { h } from "./dom.js";
import { isKnown, UNKNOWN } from "./format.js";

/** The word before the numbers. @param {unknown[]} numbers */
const before = (numbers) => t(numbers.length === 1 ? "gpu.n" : "gpus.n", { n: "" }).trim();

/** GPU 8, GPUs 0–5: for numbers that are text already. @param {string} numbers */
export const gpusCalled = (numbers) => t(/^[^,–]*$/.test(numbers) ? "gpu.n" : "gpus.n", { n: numbers });

/** GPU 8, GPUs 0, 1. @param {number[]} numbers */
export const gpuNames = (numbers) => (numbers.length ? `${before(numbers)} ${numbers.join(", ")}` : UNKNOWN);

/** GPU 8; one whose number is not known has a dash. @param {number|string|null} id */
export const gpuName = (id) => t("gpu.n", { n: id ?? UNKNOWN });

/** What tells a GPU from all others on the page. @param {API.GPU} gpu */
export const gpuKey = ({ node, uuid, gpu_id: index }) => (node ? `${node} ${uuid ?? index}` : (uuid ?? index));

/** What a GPU is called in addresses: of several machines not by its number alone. @param {{node?: string|null, gpu_id: number|null}} gpu */
export const gpuReference = ({ node, gpu_id: index }) => (node && isKnown(index) ? `${node}:${index}` : index);

/** How many are wanted. @param {number} count */
export const gpusWanted = (count) => t(count === 1 ? "gpus.wanted.one" : "gpus.wanted", { n: count });

/** The same with links, or what is wanted while there are none. @param {API.Row} task @returns {Child} */
export function gpuLinks(task) {
  if (!task.gpu_ids.length) return h("span", { class: "faint" }, gpusWanted(task.gpu_count));
  const link = (/** @type {number|null} */ id) => (isKnown(id) ? h("a", { href: gpuAddress(id) }, id) : UNKNOWN);
  return [before(task.gpu_ids), " ", task.gpu_ids.map((id, i) => [i > 0 && ", ", link(id)])];
}
