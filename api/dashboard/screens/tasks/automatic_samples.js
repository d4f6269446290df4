// Automatic samples of a training: what is rendered, why it is late, and the form that changes it.

import { api } from "../../app/api.js";
import { t, translate } from "../../app/i18n.js";
import { h } from "../../ui/dom.js";
import { askForm } from "../../ui/form_dialog.js";
import { note } from "../../ui/status.js";
import { saidOf, samplesChoice } from "../sampling/choice.js";

/** @param {API.Task} task */
export function automaticNote({ samples }) {
  if (!samples) return null;
  const said = h("p.foreign", saidOf(`${samples.sample_set}@${samples.version}`, samples.every));
  return samples.problem
    ? note("warn", said, h("p.foreign", translate(samples.problem, samples.problem_code)))
    : note("idle", said);
}

/** Resolves to the changed training, or null. @param {API.Task} task */
export function askAutomatic(task) {
  const choice = samplesChoice(
    () => task.model_type,
    () => {},
  );
  const { samples } = task;
  choice.choose(samples && { ...samples, sample_set: `${samples.sample_set}@${samples.version}` });
  return askForm({
    title: t("auto.title"),
    content: choice.element,
    action: t("save"),
    run: () => api.change(task.task_id, { samples: choice.value }),
  });
}
