// The links of an alert: GPU, training, its own page, and external.

import { t } from "../../app/i18n.js";
import { machine } from "../../app/machine.js";
import { gpuAddress, taskAddress } from "../../app/router.js";
import { h } from "../../ui/dom.js";
import { gpuName } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";

/** @param {string} id */
const alertAddress = (id) => `#/alerts?alert=${encodeURIComponent(id)}`;

/** @param {import("../../ui/icons.js").IconName} sign @param {string} href @param {Child} text */
const link = (sign, href, text) => h("a.alert-link", { href }, icon(sign), h("span", text));

/**
 * Only targets of this page; GPUs of other machines have their own page.
 * @param {API.Alert} alert @returns {HTMLElement[]}
 */
export function linksOf({ labels, link: outside }) {
  const { gpu_uuid: uuid, gpu, task_id: task } = labels;
  const isElsewhere = machine.value && !machine.value.gpus.some((each) => each.uuid === uuid);
  return [
    ...(uuid && !isElsewhere ? [link("gpu", gpuAddress(uuid), gpuName(gpu ?? null))] : []),
    ...(task ? [link("list", taskAddress(task), t("alert.task"))] : []),
    ...(outside
      ? [h("a.alert-link", { href: outside, target: "_blank", rel: "noopener noreferrer" }, t("alert.more"))]
      : []),
  ];
}

/** A link to the details of an alert, which `app/main.js` shows above the current screen. @param {string} id @param {Child} content */
export const alertLink = (id, content) => h("a.foreign", { href: alertAddress(id), data: { openAlert: id } }, content);
