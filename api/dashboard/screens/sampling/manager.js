// A dialog with sample sets and workflows: new, change, delete.

import { access, whyNot } from "../../app/access.js";
import { samplingApi } from "../../app/api_sampling.js";
import { t } from "../../app/i18n.js";
import { actionButton } from "../../ui/buttons.js";
import { askSure, openDialog } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { askSampleSet } from "./set_dialog.js";
import { askWorkflow } from "./workflow_dialog.js";

/**
 * Resolves when it is closed.
 * @param {string} modelType of the training for which the user comes here
 * @returns {Promise<void>}
 */
export function manageSampleSets(modelType) {
  const [sets, workflows] = [h("div.stack"), h("div.stack")];
  const denied = whyNot("training:write");

  async function refetch() {
    const [{ sample_sets: found, defaults }, { workflows: registered }] = await Promise.all([
      samplingApi.sets(),
      samplingApi.workflows(),
    ]);
    const names = new Map(registered.map(({ workflow_id: id, name }) => [id, name]));
    const edit = (/** @type {API.SampleSet|null} */ set) =>
      askSampleSet(set, registered, modelType, defaults).then(refetch);
    fill(
      sets,
      found.map((each) => {
        const not = whyNot("training:write", each.owner);
        return line(
          each,
          t("sets.about", { n: each.prompts.length, version: each.version }),
          each.workflow && (names.get(each.workflow) ?? t("sets.workflow.gone")),
          actionButton("small", not, () => edit(each), icon("pen"), t("sets.edit")),
          remover(not, t("sets.delete.title", { name: each.name }), () => samplingApi.removeSet(each)),
        );
      }),
      !found.length && h("p.faint.small", t("sets.none")),
      h(
        "div.choice-line",
        actionButton("small", denied, () => edit(null), icon("plus"), t("sets.new")),
      ),
    );
    fill(
      workflows,
      registered.map((each) =>
        line(
          each,
          each.model_type,
          null,
          remover(whyNot("training:write", each.owner), t("workflow.delete.title", { name: each.name }), () =>
            samplingApi.removeWorkflow(each.workflow_id),
          ),
        ),
      ),
      h(
        "div.choice-line",
        actionButton("small", denied, () => askWorkflow(modelType).then(refetch), icon("plus"), t("workflow.new")),
      ),
    );
  }

  /** @param {string|null} not @param {string} title @param {() => Promise<unknown>} remove */
  const remover = (not, title, remove) =>
    actionButton(
      "small",
      not,
      async () => {
        if (!(await askSure({ title, text: t("sets.delete.text"), action: t("delete") }))) return;
        await remove();
        await refetch();
      },
      icon("trash"),
      t("delete"),
    );

  return new Promise((resolve, reject) => {
    const dialog = openDialog(t("sets.manage"), (close) =>
      h(
        "div.inside.stack",
        h("h2", t("sets.manage")),
        sets,
        h("h3", t("workflow.list")),
        h("p.faint.small", t("workflow.text")),
        workflows,
        h("div.choices", h("button.button", { type: "button", on: { click: close } }, t("close"))),
      ),
    );
    dialog.addEventListener("close", () => resolve());
    refetch().catch((error) => {
      dialog.close();
      reject(error);
    });
  });
}

/** @param {{name: string, owner: string|null, shared: boolean}} each @param {string} about @param {Child} more @param {...Child} tools */
function line(each, about, more, ...tools) {
  const owner = each.owner !== (access.value?.who?.user_id ?? null) && each.owner;
  return h(
    "div.choice-line.set-line",
    h(
      "div.grow",
      h("b.foreign", each.name),
      " ",
      h("span.faint.small", about, more && [" · ", h("span.foreign", more)]),
      owner && h("span.faint.small", " · ", t("preset.of", { owner })),
      each.shared && !owner && h("span.tag", icon("user"), t("preset.shared")),
    ),
    tools,
  );
}
