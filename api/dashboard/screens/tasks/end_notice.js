// "Tell me when it ends": by the browser, besides the channels that the request names.

import { t } from "../../app/i18n.js";
import { h, setAttribute } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { isFinished } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";

/** Of a training that has ended nothing of it is needed. */
const load = () => import("../alerts/notify.js");

export function endNotice() {
  const button = h(
    "button",
    { class: "button", type: "button", hidden: true, "aria-pressed": "false", on: { click: () => attempt(toggle) } },
    icon("bell"),
    t("notify.end"),
  );
  let id = "";

  async function toggle() {
    const { isWatched, notifies, switchOn, watch } = await load();
    const wanted = !isWatched(id);
    if (wanted && !notifies.value && !(await switchOn())) return toast("bad", t("notify.denied"));
    watch(id, wanted);
    await show();
    toast("ok", t(wanted ? "notify.end.on" : "notify.end.off"));
  }

  async function show() {
    const { isWatched } = await load();
    setAttribute(button, "aria-pressed", String(isWatched(id)));
  }

  return {
    element: button,
    /** @param {API.Task} task */
    update(task) {
      const isOver = isFinished(task.status);
      button.hidden = isOver;
      if (isOver || task.task_id === id) return;
      id = task.task_id;
      const notify = /** @type {{channels?: string[]}|undefined} */ (task.request.notify);
      const channels = notify?.channels?.join(", ");
      button.title = channels ? t("notify.end.also", { channels }) : t("notify.text");
      attempt(show);
    },
  };
}
