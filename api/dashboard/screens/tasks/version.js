// Saves a model of a training to the library.

import { whyNot } from "../../app/access.js";
import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { registeredAddress } from "../../app/router.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { attempt, toast } from "../../ui/toast.js";

const LONGEST_NAME = 100;

/** The default name in the service's form, from the training's name. @param {API.Task} task */
export function suggestedName({ name, model_type: model }) {
  const plain = (name ?? "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+|-+$/g, "");
  return (plain || model).slice(0, LONGEST_NAME);
}

/** The newest saved model of a training. @param {API.ArtifactList} found */
const newestModel = ({ artifacts }) =>
  artifacts
    .filter(({ kind, path, is_complete: isWhole }) => kind === "model" && isWhole && path.endsWith(".safetensors"))
    .sort((a, b) => b.modified_at.localeCompare(a.modified_at))[0];

/** Shown once there is a model to save. */
export function versionOffer() {
  const element = h("div", { class: "version-offer", hidden: true });
  let drawn = "";
  /** @type {API.ModelVersion|null} */
  let made = null;

  /** @param {API.Task} task @param {API.Artifact} artifact @param {string} name */
  async function save(task, artifact, name) {
    made = await models.register({ task_id: task.task_id, artifact: artifact.path, name }, newKey());
    toast("ok", t("version.made", { n: made.version, name: made.model }));
    draw(task, artifact);
  }

  /** @param {API.Task} task @param {API.Artifact} artifact */
  function draw(task, artifact) {
    const name = suggestedName(task);
    const denied = whyNot("models:write", task.owner);
    /** @param {() => Promise<unknown>} run */
    const guarded = (run) => () => (denied ? toast("bad", denied) : void attempt(run));
    const other = async () => {
      const { askFields, MODEL_NAME } = await import("../../ui/form_dialog.js");
      return askFields(
        t("version.make.title"),
        [
          {
            name: "name",
            label: t("version.make.name"),
            hint: t("version.make.hint"),
            pattern: MODEL_NAME,
            required: true,
            value: name,
          },
        ],
        t("version.make"),
        (values) => save(task, artifact, values.name),
        t("version.make.text"),
      );
    };
    const attributes = { type: "button", "aria-disabled": denied ? "true" : null, title: denied };
    fill(
      element,
      icon("cube"),
      h(
        "span",
        { class: "grow foreign" },
        made
          ? t("version.made", { n: made.version, name: made.model })
          : t("version.make.saved", { file: shortPath(artifact.path) }),
      ),
      made && h("a", { class: "button primary", href: registeredAddress(made.model) }, t("version.made.open")),
      !made &&
        h(
          "button",
          { ...attributes, class: "button primary", on: { click: guarded(() => save(task, artifact, name)) } },
          t("version.make.of", { name }),
        ),
      h("button", { ...attributes, class: "button", on: { click: guarded(other) } }, t("version.make.other")),
    );
    element.hidden = false;
  }

  /** Whether it was saved before under the suggested name. @param {API.Task} task @param {API.Artifact} artifact */
  async function find(task, artifact) {
    const name = suggestedName(task);
    const { models: found } = await models.registry({ search: name, limit: 50 });
    const latest = found.find((each) => each.name === name)?.latest;
    const isSame = latest?.origin.task_id === task.task_id && latest.origin.artifact === artifact.path;
    made = isSame ? latest : null;
  }

  return {
    element,
    /** @param {API.Task} task @param {API.ArtifactList} found */
    async update(task, found) {
      const artifact = newestModel(found);
      if (!artifact || task.status !== "completed") {
        element.hidden = true;
        drawn = "";
        return;
      }
      const key = `${artifact.path} ${artifact.modified_at} ${task.name}`;
      if (key === drawn) return;
      drawn = key;
      await find(task, artifact).catch(() => {});
      if (key === drawn) draw(task, artifact);
    },
  };
}

/** @param {string} path */
const shortPath = (path) => path.split("/").slice(-2).join("/");
