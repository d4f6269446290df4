// The resume dialog: checkpoint, epochs and GPUs.

import { api, Refused } from "../../app/api.js";
import { refusalText } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { field, selectInput } from "../../ui/fields.js";
import { count, isKnown, localTime } from "../../ui/format.js";
import { gpuPicks } from "../../ui/gpu_picks.js";
import { note } from "../../ui/status.js";

/**
 * Opens the dialog and resumes the task; the dialog stays open and shows a rejection.
 * @param {API.Task} task its details
 * @returns {Promise<boolean>} whether it was resumed
 */
export function askResume(task) {
  return new Promise((resolve) => {
    let isDone = false;
    const gpus = gpuField();
    const dialog = openDialog(t("resume.title"), (close) => form(task, gpus, close, () => (isDone = true)));
    dialog.addEventListener("close", () => {
      gpus.close();
      resolve(isDone);
    });
  });
}

/** @param {API.Task} task @param {ReturnType<typeof gpuField>} gpus @param {() => void} close @param {() => void} done */
function form(task, gpus, close, done) {
  const [checkpoint, epochs] = [checkpointField(task), epochsField(task)];
  const problem = h("div", { "aria-live": "assertive" });
  const go = h("button.button.primary", { type: "submit" }, t("resume"));
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await api.resume(task.task_id, { ...checkpoint.body(), ...epochs.body(), ...gpus.body() });
      done();
      close();
    } catch (error) {
      fill(problem, note("bad", showRefusal(error)));
    } finally {
      go.disabled = false;
    }
  };
  return h(
    "form.inside",
    { on: { submit } },
    h("h2", t("resume.title")),
    h("p", h("strong.foreign", task.name ?? task.task_id)),
    checkpoint.element,
    epochs.element,
    gpus.element,
    problem,
    h("div.choices", h("button.button", { type: "button", on: { click: close } }, t("cancel")), go),
  );
}

/** @param {unknown} error */
function showRefusal(error) {
  if (!(error instanceof Refused)) return h("p", t("error.unreachable"));
  return error.errors.length
    ? error.errors.map(({ message, remedy }) => h("p.foreign", message, " ", remedy))
    : h("p.foreign", refusalText(error));
}

/** The complete checkpoints, newest first. @param {API.Task} task */
export const completeCheckpoints = (task) =>
  task.checkpoints
    .filter(({ is_complete: isComplete }) => isComplete)
    .sort((a, b) => b.created_at.localeCompare(a.created_at) || (b.step ?? 0) - (a.step ?? 0));

/** @param {API.Task} task */
function checkpointField(task) {
  const choices = completeCheckpoints(task);
  const latest = choices.find(({ is_latest: isLatest }) => isLatest) ?? choices[0];
  const select = h(
    "select.input",
    { id: "resume-checkpoint" },
    choices.map((each) =>
      h(
        "option",
        { value: each.name, selected: each === latest },
        [t("resume.step", { n: count(each.step) }), localTime(each.created_at), each === latest && t("resume.latest")]
          .filter(Boolean)
          .join(" · "),
      ),
    ),
  );
  return {
    element: field(t("resume.checkpoint"), select),
    body: () => (select.value === latest.name ? {} : { checkpoint: select.value }),
  };
}

/** @param {API.Task} task */
function epochsField(task) {
  const planned = task.plan.epochs;
  const isOver = task.status === "completed";
  const input = h("input.input", {
    id: "resume-epochs",
    type: "number",
    min: isOver && isKnown(planned) ? planned + 1 : 1,
    step: 1,
    // A completed task has no steps left: suggest doubling the epochs.
    value: isKnown(planned) ? (isOver ? 2 * planned : planned) : "",
    required: isOver,
    autofocus: true,
    "aria-describedby": "resume-epochs-hint",
  });
  return {
    element: field(
      t("resume.epochs"),
      input,
      isOver && isKnown(planned) ? t("resume.epochs.more", { n: count(planned) }) : t("resume.epochs.hint"),
    ),
    body: () => (input.value && input.valueAsNumber !== planned ? { config: { epochs: input.valueAsNumber } } : {}),
  };
}

const GPU_CHOICES = /** @type {const} */ (["same", "any", "these"]);

function gpuField() {
  const choice = selectInput(
    GPU_CHOICES.map((value) => [value, t(`resume.gpus.${value}`)]),
    { id: "resume-gpus" },
  );
  const number = h("input.input", { type: "number", min: 1, step: 1, value: 1, "aria-label": t("gpu.count") });
  const picks = gpuPicks();
  api.overview().then(
    ({ executor }) => picks.only(executor.nodes),
    () => {},
  );
  const show = () => {
    number.hidden = number.disabled = choice.value !== "any";
    number.required = choice.value === "any";
    picks.element.hidden = choice.value !== "these";
  };
  choice.addEventListener("change", show);
  show();
  return {
    element: h("div.field", h("label", { for: choice.id }, t("gpus")), h("div.pair", choice, number), picks.element),
    close: picks.close,
    body() {
      if (choice.value === "any") return { gpu_count: number.valueAsNumber };
      if (choice.value === "these") return { gpu_ids: picks.named };
      return {};
    },
  };
}
