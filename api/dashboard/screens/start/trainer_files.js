// The trainer's two files as text, and the model type, which follows the configuration.

import { api } from "../../app/api.js";
import { t, translate } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { prose } from "../../ui/prose.js";
import { note } from "../../ui/status.js";
import { typeSelect } from "../models/type_select.js";
import { tomlEditor } from "./editor.js";
import { formField } from "./fields.js";
import { MASK, maskedFinding, masksIn } from "./request.js";
import { modelTypeIn, pointersOf } from "./toml.js";

const CONFIG_HINT = 'epochs = 40\nmicro_batch_size_per_gpu = 1\nsave_every_n_epochs = 5\n\n[model]\ntype = "flux"\n…';
const DATASET_HINT = 'resolutions = [512]\n\n[[directory]]\npath = "/data/cats"\n…';

/** The two files. @typedef {{config: string, dataset: string}} Texts */

/** @param {() => void} changed */
export function trainerFiles(changed) {
  const type = typeSelect({ value: "flux", listed: () => follow() });
  const model = formField({ name: "model", label: t("model"), pointers: ["/model_type"], input: type.input });
  const config = tomlEditor("config", t("config.toml"), CONFIG_HINT, () => {
    follow();
    changed();
  });
  const dataset = tomlEditor("dataset", t("dataset.toml"), DATASET_HINT, changed);
  const trainers = h("div.stack");
  const element = h("div.stack", trainers, model.element, config.element, dataset.element);
  let named = "";
  /**
   * A structured request with its text form: it is sent unchanged until a text is edited.
   * @type {{config: API.Request["config"], dataset: API.Request["dataset"], texts: Texts}|null}
   */
  let structured = null;

  /** Follows only changes of the type in the text; the user's own choice stays. */
  function follow() {
    const found = modelTypeIn(config.value);
    if (found === named || !type.has(found)) return;
    type.choose(found);
    named = found;
  }

  /** The structured request, while its texts are unchanged. */
  const asItCame = () =>
    structured && config.value === structured.texts.config && dataset.value === structured.texts.dataset
      ? structured
      : null;

  api.overview().then(
    ({ trainers: known }) => fill(trainers, known.filter(({ ready }) => !ready).map(trainerNote)),
    () => {},
  );
  return {
    element,
    /** @returns {API.Request} */
    request() {
      const chosen = { model_type: type.input.value };
      const same = asItCame();
      if (same) return { ...chosen, config: same.config, dataset: same.dataset };
      return { ...chosen, config_toml: config.value, dataset_toml: dataset.value };
    },
    /** Whether the texts are non-empty. */
    get isWritten() {
      return Boolean(config.value.trim() || dataset.value.trim());
    },
    /** The text form of a structured request. */
    get texts() {
      return structured?.texts;
    },
    /** @param {API.Request} request @param {Texts|null} [texts] */
    choose(request, texts) {
      type.choose(request.model_type ?? "");
      structured = request.config_toml || !texts ? null : { config: request.config, dataset: request.dataset, texts };
      config.value = request.config_toml ?? texts?.config ?? "";
      dataset.value = request.dataset_toml ?? texts?.dataset ?? "";
      named = modelTypeIn(config.value);
    },
    /** @param {SeverityFinding[]} findings */
    show: (findings) => [model, config, dataset].flatMap((part) => part.show(findings)),
    /** Findings for masked secrets, which would reach the trainer as literal values. */
    masked() {
      const same = asItCame();
      const maskedAt = same
        ? masksIn(same.config, "/config")
        : pointersOf(config.value, MASK).map((pointer) => `/config_toml${pointer}`);
      return maskedAt.map(maskedFinding);
    },
  };
}

/** A note on model types whose trainer is not installed, and how to install it. @param {API.Trainer} trainer */
function trainerNote({ name, model_types: types, problems }) {
  return note(
    "warn",
    h("strong", t("trainer.missing", { name })),
    problems.map(({ code, message, remedy }) =>
      h(
        "p",
        prose(translate(message, { code, params: {} })),
        " ",
        prose(translate(remedy, { code: `${code}_remedy`, params: {} })),
      ),
    ),
    h("p", h("a", { href: "#/settings/setup" }, t("setup.go"))),
    h("details", h("summary", t("trainer.types", { n: types.length })), h("p", types.join(", "))),
  );
}
