// A panel that is loaded when it is looked at first.

import { fill, h } from "../../ui/dom.js";

/**
 * @typedef {{element: HTMLElement, refetch: () => Promise<void>, close?: () => void, showAccess?: () => void}} Panel
 * @param {() => Promise<Panel>} load
 */
export function panelLater(load) {
  const element = h("div");
  /** @type {Panel|null} */
  let panel = null;
  let isClosed = false;
  return {
    element,
    async refetch() {
      if (!panel) {
        const made = await load();
        if (isClosed || panel) return made.close?.();
        panel = made;
        fill(element, made.element);
      }
      await panel.refetch();
    },
    showAccess: () => panel?.showAccess?.(),
    close() {
      isClosed = true;
      panel?.close?.();
    },
  };
}
