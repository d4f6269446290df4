// Starting a training: the trainer's two files, or the toy; checked before it is sent.

import { api, Refused } from "../../api.js";
import { fill, h } from "../../dom.js";
import { t } from "../../i18n.js";
import { icon } from "../../icons.js";
import { segments } from "../../components/segments.js";
import { note } from "../../components/status.js";
import { attempt, toast, toastError } from "../../components/toast.js";
import { MODEL_TYPES } from "../../model_types.js";
import { go, taskAddress } from "../../router.js";
import { tomlEditor } from "./editor.js";
import { formField, numberInput, selectInput, textInput } from "./fields.js";
import { findingItem, findingsOf } from "./findings.js";
import { gpuChoice } from "./gpu_choice.js";
import { planView } from "./plan.js";
import { toyForm } from "./toy.js";

const CONFIG_HINT = 'epochs = 40\nmicro_batch_size_per_gpu = 1\nsave_every_n_epochs = 5\n\n[model]\ntype = "flux"\n…';
const DATASET_HINT = 'resolutions = [512]\n\n[[directory]]\npath = "/data/cats"\n…';
const DRAFT = "draft";

/** @param {import("../../main.js").App} app @param {import("../../router.js").Place} place */
export function open(app, place) {
  let mode = "toy";
  let key = newKey();
  const changed = () => {
    key = newKey();
    keep();
  };
  const gpus = gpuChoice();
  const toy = toyForm();
  const model = formField({
    name: "model",
    label: t("model"),
    pointers: ["/model_type"],
    input: selectInput(MODEL_TYPES.filter((name) => name !== "toy").map((name) => [name, name])),
  });
  model.input.value = "flux";
  const config = tomlEditor("config_toml", t("config.toml"), CONFIG_HINT, changed);
  const dataset = tomlEditor("dataset_toml", t("dataset.toml"), DATASET_HINT, changed);
  const files = h("div", { class: "stack" }, model.element, config.element, dataset.element);
  const name = formField({
    name: "name",
    label: t("name"),
    pointers: ["/name"],
    input: textInput({ maxlength: 200, placeholder: t("optional") }),
  });
  const priority = formField({
    name: "priority",
    label: t("priority"),
    pointers: ["/priority"],
    input: numberInput({ min: -1000, max: 1000, step: 1, value: 0 }),
  });
  const [findings, plan] = [h("div", { class: "stack" }), h("div", { class: "stack" })];
  const validateButton = h(
    "button",
    { class: "button", type: "button", on: { click: () => attempt(validate) } },
    icon("check"),
    t("validate"),
  );
  const startButton = h("button", { class: "button primary", type: "submit" }, icon("play"), t("start.do"));

  const modes = segments(
    t("mode"),
    [
      { value: "toy", label: t("mode.toy") },
      { value: "toml", label: t("mode.toml") },
    ],
    mode,
    (value) => (setMode(value), changed()),
  );

  function setMode(value) {
    mode = value;
    modes.select(value);
    toy.element.hidden = mode !== "toy";
    files.hidden = mode !== "toml";
  }

  function request() {
    const what =
      mode === "toy"
        ? { model_type: "toy", config: toy.config() }
        : { model_type: model.input.value, config_toml: config.value, dataset_toml: dataset.value };
    return {
      ...what,
      ...gpus.wish(),
      ...(name.input.value.trim() && { name: name.input.value.trim() }),
      priority: priority.input.valueAsNumber || 0,
    };
  }

  /** Each finding at its place; what has none stands beside the form. */
  function show(found) {
    const all = findingsOf(found);
    const parts = mode === "toy" ? [toy] : [model, config, dataset];
    const placed = new Set([...parts, name, priority, gpus].flatMap((part) => part.show(all)));
    const rest = all.filter((finding) => !placed.has(finding));
    const errors = all.filter(({ severity }) => severity === "error").length;
    fill(
      findings,
      errors
        ? note("bad", h("strong", {}, t("found.errors", { n: errors })), h("p", {}, t("found.places")))
        : note("ok", h("strong", {}, t("found.none"))),
      rest.length > 0 &&
        h(
          "ul",
          { class: "findings" },
          rest.map((finding) => findingItem(finding, finding.pointer, null)),
        ),
    );
  }

  async function validate() {
    const found = await api.validate(request()).catch(asFindings);
    show(found);
    fill(plan, planView(found));
    return found;
  }

  async function start(event) {
    event.preventDefault();
    startButton.disabled = true;
    try {
      const task = await api.start(request(), key);
      forget();
      toast("ok", t("start.done"));
      go(taskAddress(task.task_id));
    } catch (error) {
      if (error instanceof Refused && error.errors.length) show(asFindings(error));
      toastError(error);
    } finally {
      startButton.disabled = false;
    }
  }

  // A reload, or a look at another screen, does not lose what was written.
  function keep() {
    try {
      sessionStorage.setItem(DRAFT, JSON.stringify({ mode, request: request() }));
    } catch {
      // A file that is too large to keep is still in the form.
    }
  }

  function choose(draft) {
    const { request: kept } = draft;
    setMode(draft.mode);
    gpus.choose(kept);
    name.input.value = kept.name ?? "";
    priority.input.value = kept.priority ?? 0;
    if (draft.mode === "toy") return toy.choose(kept.config ?? {});
    model.input.value = kept.model_type;
    config.value = kept.config_toml ?? "";
    dataset.value = kept.dataset_toml ?? "";
  }

  const form = h(
    "form",
    { class: "panel start-form", novalidate: true, on: { submit: start, input: changed, change: changed } },
    h("header", {}, modes.element),
    h(
      "div",
      { class: "body stack" },
      toy.element,
      files,
      h("div", { class: "form-grid" }, name.element, priority.element),
      gpus.element,
      h("div", { class: "choices" }, validateButton, startButton),
    ),
  );
  const side = h(
    "aside",
    { class: "panel start-side", "aria-label": t("plan"), "aria-live": "polite" },
    h("header", {}, h("h2", {}, t("plan"))),
    h("div", { class: "body stack" }, findings, plan),
  );
  fill(plan, h("p", { class: "faint small" }, t("plan.hint")));
  setMode(mode);
  prefill(place.query.get("from"), choose);
  return {
    element: h(
      "div",
      { class: "screen" },
      h("div", { class: "screen-head" }, h("h1", {}, t("nav.start"))),
      h("div", { class: "start-columns" }, form, side),
    ),
    title: () => t("nav.start"),
    topics: "gpu,system",
    on: {},
    refetch: async () => {},
    close: () => gpus.close(),
  };
}

const newKey = () => crypto.randomUUID?.() ?? `page-${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** What start refused, in the form of validate's answer. */
function asFindings(error) {
  if (!(error instanceof Refused) || !error.errors.length) throw error;
  return { errors: error.errors.map((each) => ({ remedy: null, ...each })), warnings: [], plan: null, gpus: null };
}

/** From another task, or from what was written last. */
async function prefill(taskId, choose) {
  if (taskId) {
    const found = await attempt(() => api.task(taskId));
    if (!found) return;
    const { request, plan, model_type: model } = found;
    if (model === "toy" && !request.config_toml) choose({ mode: "toy", request });
    else
      choose({
        mode: "toml",
        request: {
          ...request,
          config_toml: request.config_toml ?? plan.files["config.toml"],
          dataset_toml: request.dataset_toml ?? plan.files["dataset.toml"],
        },
      });
    return;
  }
  try {
    const draft = JSON.parse(sessionStorage.getItem(DRAFT));
    if (draft) choose(draft);
  } catch {
    // Nothing was kept.
  }
}

function forget() {
  try {
    sessionStorage.removeItem(DRAFT);
  } catch {
    // Nothing was kept.
  }
}
