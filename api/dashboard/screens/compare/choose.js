// A dialog that chooses trainings to compare.

import { api } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { go } from "../../app/router.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h, setText } from "../../ui/dom.js";
import { searchField } from "../../ui/search_field.js";
import { loading } from "../../ui/states.js";
import { statusChip } from "../../ui/status.js";
import { time } from "../../ui/time.js";
import { attempt } from "../../ui/toast.js";
import { compareAddress, LEAST, MOST, nameOf } from "./state.js";

const LISTED = 30;

/**
 * Resolves to the ids to compare, or null if the user cancels.
 * @param {readonly string[]} before ids that are compared already, or that of the training to compare with
 * @returns {Promise<string[]|null>}
 */
export function askTrainings(before) {
  return new Promise((resolve) => {
    const chosen = new Set(before);
    /** @type {string[]|null} */
    let answer = null;
    const [list, sum] = [h("ul.choose-list"), h("span.soft.small", { role: "status" })];
    const done = h("button.button.primary", { type: "submit" }, t("compare.do"));
    const search = searchField(t("tasks.search"), "", (text) => attempt(() => show(text)));
    let requests = 0;

    function update() {
      setText(sum, t("compare.chosen", { n: chosen.size, most: MOST }));
      done.disabled = chosen.size < LEAST;
      for (const box of list.querySelectorAll("input")) box.disabled = !box.checked && chosen.size >= MOST;
    }

    /** @param {string} text */
    async function show(text) {
      requests += 1;
      const own = requests;
      const { tasks } = await api.tasks({ search: text, limit: LISTED });
      if (own !== requests) return;
      fill(list, tasks.length ? tasks.map(entry) : h("li.soft.small", t("filter.none")));
      update();
    }

    /** @param {API.Row} task */
    function entry(task) {
      const chip = statusChip("task");
      chip.update(task.status);
      const box = h("input", { type: "checkbox", checked: chosen.has(task.task_id) });
      box.addEventListener("change", () => {
        if (box.checked) chosen.add(task.task_id);
        else chosen.delete(task.task_id);
        update();
      });
      return h(
        "li",
        h(
          "label.gpu-pick",
          box,
          h("span.grow.clip.foreign", nameOf(task), h("span.faint.tiny", ` ${task.model_type}`)),
          chip.element,
          h("span.faint.tiny", time(task.started_at ?? task.created_at)),
        ),
      );
    }

    const dialog = openDialog(t("compare.choose"), (close) =>
      h(
        "form.inside",
        {
          on: {
            submit: (event) => {
              event.preventDefault();
              answer = [...chosen];
              close();
            },
          },
        },
        h("h2", t("compare.choose")),
        search.element,
        list,
        sum,
        h("div.choices", h("button.button", { type: "button", on: { click: close } }, t("cancel")), done),
      ),
    );
    dialog.addEventListener("close", () => {
      search.close();
      resolve(answer);
    });
    fill(list, h("li", loading()));
    update();
    attempt(() => show(""));
  });
}

/** Opens the comparison of a training with others. @param {string} id */
export async function compareWith(id) {
  const tasks = await askTrainings([id]);
  if (tasks) go(compareAddress(tasks));
}
