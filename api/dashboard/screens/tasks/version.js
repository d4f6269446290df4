// What to do with the result of a training: download it, save it to the library, train longer, start a copy.

import { whyNot } from "../../app/access.js";
import { artifactURL } from "../../app/api.js";
import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { registeredAddress } from "../../app/router.js";
import { actionButton } from "../../ui/buttons.js";
import { fill, h } from "../../ui/dom.js";
import { bytes } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { toast } from "../../ui/toast.js";

const LONGEST_NAME = 100;

/** The default name in the service's form, from the training's name. @param {API.Task} task */
function suggestedName({ name, model_type: model }) {
  const plain = (name ?? "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+|-+$/g, "");
  return (plain || model).slice(0, LONGEST_NAME);
}

/**
 * The chosen saved model of a training, or the newest that the trainer saved: an export may be of an older step.
 * @param {API.Task} task @param {API.ArtifactList} found @param {API.Export[]} exports
 */
function bestModel({ chosen }, { artifacts }, exports) {
  const exported = new Set(exports.map(({ path }) => path));
  const newest = artifacts
    .filter(({ kind, path, is_complete: isWhole }) => kind === "model" && isWhole && path.endsWith(".safetensors"))
    .sort((a, b) => b.modified_at.localeCompare(a.modified_at));
  return (
    newest.find(({ path }) => chosen !== null && path.split("/").at(-2) === chosen) ??
    newest.find(({ path }) => !exported.has(path)) ??
    newest[0]
  );
}

/**
 * Shown once there is a model.
 * @param {() => unknown} changed called when the training is resumed
 * @param {ReturnType<typeof import("./comfyui.js").comfyModels>} comfy
 */
export function versionOffer(changed, comfy) {
  const element = h("div.version-offer", { hidden: true });
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
    const isLora = /(adapter_model|pytorch_lora_weights)\.safetensors$/.test(artifact.path);
    const longer = async () => {
      const { askResume } = await import("./resume_dialog.js");
      if (await askResume(task)) changed();
    };
    fill(
      element,
      icon("cube"),
      h(
        "span.grow.foreign",
        made
          ? t("version.made", { n: made.version, name: made.model })
          : t("version.make.saved", { file: artifact.download_name }),
      ),
      h(
        "a.button.primary",
        {
          href: artifactURL(task.task_id, artifact.path),
          download: artifact.download_name,
          title: artifact.download_name,
        },
        icon("down"),
        t(isLora ? "result.lora" : "result.model", { size: bytes(artifact.size_bytes) }),
      ),
      comfy.button(task, artifact.path, ""),
      made && h("a.button", { href: registeredAddress(made.model) }, t("version.made.open")),
      !made && actionButton("", denied, () => save(task, artifact, name), t("version.make.of", { name })),
      actionButton("", denied, other, t("version.make.other")),
      task.checkpoints.some((each) => each.is_complete) &&
        actionButton("", whyNot("training:write", task.owner), longer, icon("resume"), t("result.longer")),
      h("a.button", { href: `#/new?from=${encodeURIComponent(task.task_id)}` }, icon("copy"), t("result.copy")),
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
    /** @param {API.Task} task @param {API.ArtifactList} found @param {API.Export[]} exports */
    async update(task, found, exports) {
      const artifact = bestModel(task, found, exports);
      if (!artifact || (task.status !== "completed" && task.status !== "stopped")) {
        element.hidden = true;
        drawn = "";
        return;
      }
      const key = `${artifact.path} ${artifact.modified_at} ${task.name} ${comfy.state}`;
      if (key === drawn) return;
      drawn = key;
      await find(task, artifact).catch(() => {});
      if (key === drawn) draw(task, artifact);
    },
  };
}
