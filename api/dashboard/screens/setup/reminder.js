// The checklist on the first screen, until every step is done or the user hides it. Loaded only when it is shown.

import { setup } from "../../app/api_setup.js";
import { recall, remember } from "../../app/settings.js";
import { fill, h } from "../../ui/dom.js";

const HIDDEN = "setup.hidden";

/** Its element is empty while there is nothing to do. */
export function setupReminder() {
  const element = h("div.setup");
  /** @type {ReturnType<typeof import("./checklist.js").checklist>|null} */
  let list = null;
  let isOver = recall(HIDDEN, "") === "yes";

  function hide() {
    remember(HIDDEN, "yes");
    end();
  }

  function end() {
    isOver = true;
    list?.close();
    fill(element);
  }

  return {
    element,
    async refetch() {
      if (isOver) return;
      if (list) return list.refetch();
      if ((await setup.checklist()).complete) return end();
      const { checklist } = await import("./checklist.js");
      list = checklist({ hide });
      await list.refetch();
      fill(element, list.element);
    },
    close: () => list?.close(),
  };
}
