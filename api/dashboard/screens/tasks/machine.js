// The machine of a training, and whether it sends reports.

import { api } from "../../app/api.js";
import { t, translate } from "../../app/i18n.js";
import { nodeAddress } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { prose } from "../../ui/prose.js";
import { isFinished, note } from "../../ui/status.js";
import { isUnreachable } from "../nodes/state.js";

export function taskMachine() {
  const element = h("div", {});
  let isAlone = false;
  return {
    element,
    /** @param {API.Task} task */
    async update(task) {
      const name = task.attempts.at(-1)?.node;
      if (isAlone || !name || task.status === "queued" || isFinished(task.status)) return fill(element);
      const { nodes } = await api.nodes();
      isAlone = nodes.length < 2;
      const found = nodes.find((node) => node.name === name);
      return fill(element, found && !isAlone && nodeNote(found));
    },
  };
}

/** @param {API.Node} node */
function nodeNote(node) {
  const link = h("a", { class: "foreign", href: nodeAddress(node.name) }, node.name);
  if (!isUnreachable(node)) return h("p", { class: "soft small" }, t("task.machine"), " ", link);
  return note(
    "warn",
    h("strong", {}, t("task.machine"), " ", link, ": ", t(`node.${node.state}`)),
    node.reason && h("p", {}, prose(translate(node.reason, node.reason_code))),
    h("p", {}, t("node.tasks.unknown")),
  );
}
