// The new training screen: step by step or as the trainer's files; validated before it starts.

import { access, whyNot } from "../../app/access.js";
import { api, Refused } from "../../app/api.js";
import { models } from "../../app/api_models.js";
import { labelFor, t } from "../../app/i18n.js";
import { go, taskAddress } from "../../app/router.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { count, gigabytes, isKnown } from "../../ui/format.js";
import { gpuNames } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { scrollable } from "../../ui/scroll.js";
import { segments } from "../../ui/segments.js";
import { note } from "../../ui/status.js";
import { attempt, toast, toastError } from "../../ui/toast.js";
import { waitingText } from "../../ui/waiting.js";
import { datasetSettings, readFrames, recallSettings } from "../datasets/settings.js";
import { firstVariant } from "../models/state.js";
import { clusterSection } from "./cluster.js";
import { PLAIN } from "./draft.js";
import { extraFields } from "./extra_fields.js";
import { formField, numberInput, textInput } from "./fields.js";
import { findingItem, findingsOf, verdict } from "./findings.js";
import { gpuChoice } from "./gpu_choice.js";
import { guidedForm, step } from "./guided.js";
import { measuredText } from "./memory.js";
import { noticeChoice } from "./notice.js";
import { masksIn, overlay } from "./request.js";
import { trainerFiles } from "./trainer_files.js";

const DRAFT = "draft";

/** @typedef {"form"|"toml"} Mode */
/**
 * The initial state of the form.
 * @typedef {{mode: Mode, request: API.Request, texts?: import("./trainer_files.js").Texts|null}} InitialState
 */

/**
 * @param {import("../../app/main.js").App} _app
 * @param {import("../../app/router.js").Place} place
 * @returns {import("../../app/main.js").Screen}
 */
export function open(_app, place) {
  /** @type {Mode} */
  let mode = "form";
  let key = newKey();
  const changed = () => {
    key = newKey();
    storeDraft();
    offerCache();
  };
  const [gpus, cluster] = [gpuChoice(), clusterSection()];
  const notice = noticeChoice();
  const files = trainerFiles(changed);
  const extra = extraFields(changed);
  const guided = guidedForm(changed, (env) =>
    extra.choose({ ...extra.base(true), env: { ...extra.base(true).env, ...env } }),
  );
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
  const description = formField({
    name: "description",
    label: t("description"),
    pointers: ["/description"],
    input: h("textarea", { class: "input", rows: 2, maxlength: 4000, placeholder: t("optional") }),
    wide: true,
  });
  const memory = formField({
    name: "min_memory",
    label: t("gpus.memory"),
    pointers: ["/min_memory"],
    input: numberInput({ min: 0, step: 1, placeholder: t("optional") }),
  });
  const [findings, plan] = [h("div", { class: "stack" }), h("div", { class: "stack" })];
  const validateButton = h(
    "button",
    { class: "button", type: "button", on: { click: () => permitted() && attempt(validate).then(reveal) } },
    icon("check"),
    t("validate"),
  );
  const cacheButton = h(
    "button",
    { class: "button", type: "button", hidden: true, on: { click: () => permitted() && attempt(cacheAhead) } },
    icon("save"),
    t("start.cache"),
  );
  const startButton = h("button", { class: "button primary", type: "submit" }, icon("play"), t("start.do"));

  const [denied, onDataset] = [h("div", { class: "stack" }), h("div")];
  /** Whether the user may start trainings; otherwise reports why. */
  function permitted() {
    const why = whyNot("training:write");
    if (why) toast("bad", why);
    return !why;
  }
  const unwatchAccess = access.watch(() => {
    const why = whyNot("training:write");
    fill(denied, why && note("warn", h("p", {}, why)));
    for (const button of [validateButton, cacheButton, startButton]) {
      setAttribute(button, "aria-disabled", why ? "true" : null);
      setAttribute(button, "title", why);
    }
  });

  const modes = segments(
    t("mode"),
    /** @type {Mode[]} */ (["form", "toml"]).map((value) => ({ value, label: t(`mode.${value}`) })),
    mode,
    (value) => attempt(() => turnTo(value)),
  );

  /** Switches between form and text. Reports if the request cannot be converted, and stays. @param {Mode} value */
  async function turnTo(value) {
    try {
      if (value === "toml" && mode === "form" && guided.type !== "toy") await showTexts();
      if (value === "form" && mode === "toml" && files.isWritten) await readTexts();
    } catch (error) {
      modes.select(mode);
      if (!(error instanceof Refused && error.errors.length)) throw error;
      show(asFindings(error));
      return toast("bad", t("toml.refused"));
    }
    setMode(value);
    changed();
  }

  async function showTexts() {
    const { config, dataset } = guided.draft;
    const found = await models.convert(guided.type, { config, dataset });
    const texts = { config: found.config_toml ?? "", dataset: found.dataset_toml ?? "" };
    files.choose({ model_type: guided.type, config, dataset }, texts);
  }

  async function readTexts() {
    const { model_type: type = "", config_toml, dataset_toml, config, dataset } = files.request();
    if (config_toml === undefined) return guided.choose({ model_type: type, config, dataset });
    const found = await models.convert(type, { config_toml, dataset_toml });
    await guided.choose({ model_type: type, config: found.config, dataset: found.dataset });
  }

  /** @param {Mode} value */
  function setMode(value) {
    mode = value;
    modes.select(value);
    guided.element.hidden = mode !== "form";
    files.element.hidden = mode !== "toml";
  }

  /** @param {boolean} [isDraft] it is stored in the browser, so it must not contain secrets */
  function request(isDraft = false) {
    const base = extra.base(isDraft);
    return overlay(base, {
      what: mode === "form" ? guided.request(base) : files.request(),
      gpus: gpus.toRequest(),
      fields: {
        name: name.input.value.trim() || undefined,
        description: description.input.value || undefined,
        min_memory: memory.input.valueAsNumber || undefined,
        priority: priority.input.valueAsNumber || 0,
        notify: notice.toRequest(),
        slurm: cluster.toRequest(),
      },
    });
  }

  /**
   * Shows findings at their fields, and the others next to the form.
   * @param {Pick<API.Validation, "errors"|"warnings">} found
   */
  function show(found) {
    const all = findingsOf(found);
    const parts = [mode === "form" ? guided : files, name, description, priority, gpus, memory, cluster, notice, extra];
    const placed = new Set(parts.flatMap((part) => part.show(all)));
    const rest = all.filter((finding) => !placed.has(finding));
    fill(
      findings,
      verdict(all, h("p", {}, t("found.see_fields"))),
      rest.length > 0 &&
        h(
          "ul",
          { class: "findings" },
          rest.map((finding) => findingItem(finding, finding.pointer, null)),
        ),
    );
  }

  /** Only dataset versions can be cached ahead. */
  function offerCache() {
    const { dataset, dataset_toml: text } = request();
    cacheButton.hidden = !/"dataset":|^\s*dataset\s*=/m.test(text ?? JSON.stringify(dataset ?? {}));
  }

  const masked = () => (mode === "toml" ? files.masked() : maskedIn(guided.draft.config));

  async function validate() {
    const found = await api.validate(request()).catch(asFindings);
    found.errors.push(...masked());
    show(found);
    fill(plan, planView(found));
    const reference = mode === "form" && guided.type !== "toy" && guided.reference;
    if (reference) await showBuckets(reference, guided.type, guided.draft, plan).catch(() => {});
    return found;
  }

  /** On small screens, scroll to the first error. */
  function reveal() {
    const shown = form.querySelector('.finding[data-tone="bad"]') ?? side;
    const { top } = shown.getBoundingClientRect();
    if (top < 0 || top > innerHeight * 0.8) shown.scrollIntoView({ block: shown === side ? "start" : "center" });
  }

  /** @param {Event} event */
  async function start(event) {
    event.preventDefault();
    if (permitted()) await send(api.start, t("start.done"));
  }

  /** The form stays open: the next step is a training with the cache. */
  const cacheAhead = () => send(api.cache, t("start.cached"), true);

  /** @param {typeof api.start} by @param {string} success @param {boolean} [stays] whether the draft is kept */
  async function send(by, success, stays = false) {
    if (masked().length) return show({ errors: masked(), warnings: [] });
    startButton.disabled = cacheButton.disabled = true;
    try {
      const task = await by(request(), key);
      if (!stays) forget();
      toast("ok", success);
      go(taskAddress(task.task_id));
    } catch (error) {
      if (error instanceof Refused && error.errors.length) show(asFindings(error));
      toastError(error);
    } finally {
      startButton.disabled = cacheButton.disabled = false;
    }
  }

  // Store a draft, so that a reload or another screen does not lose it.
  function storeDraft() {
    try {
      sessionStorage.setItem(DRAFT, JSON.stringify({ mode, request: request(true), texts: files.texts }));
    } catch {
      // A file too large to store is still in the form.
    }
  }

  /** @param {InitialState} initial */
  function choose({ mode: chosen, request: initial, texts }) {
    setMode(chosen);
    extra.choose(initial);
    gpus.choose(initial);
    cluster.choose(initial);
    notice.choose(initial);
    name.input.value = initial.name ?? "";
    description.input.value = initial.description ?? "";
    memory.input.value = String(initial.min_memory || "");
    priority.input.value = String(initial.priority ?? 0);
    if (chosen === "toml") files.choose(initial, texts);
    else attempt(() => guided.choose(initial));
    offerCache();
  }

  const form = h(
    "form",
    { class: "panel start-form", novalidate: true, on: { submit: start, input: changed, change: changed } },
    h("header", {}, modes.element),
    h(
      "div",
      { class: "body stack" },
      guided.element,
      files.element,
      step(
        "step.run",
        h("div", { class: "form-grid" }, name.element, priority.element, memory.element, description.element),
        gpus.element,
        cluster.element,
        notice.element,
        extra.element,
      ),
      h("div", { class: "choices start-choices" }, validateButton, cacheButton, startButton),
    ),
  );
  const side = h(
    "aside",
    { class: "panel start-side", "aria-label": t("plan"), "aria-live": "polite" },
    h("header", {}, h("h2", {}, t("plan"))),
    h("div", { class: "body stack" }, findings, plan),
  );
  scrollable(side, plan);
  fill(plan, h("p", { class: "faint small" }, t("plan.hint")));
  setMode(mode);
  api.overview().then(
    ({ executor }) => {
      gpus.only(executor.nodes);
      cluster.offer(executor);
    },
    () => {},
  );
  const wanted = place.query.get("model");
  if (wanted && !place.query.get("dataset")) guided.begin(wanted, place.query.get("variant") ?? "");
  else prefill(place.query, choose, (text) => fill(onDataset, note("run", h("p", { class: "foreign" }, text))));
  return {
    element: h(
      "div",
      { class: "screen" },
      h("div", { class: "screen-head" }, h("h1", {}, t("nav.start"))),
      denied,
      onDataset,
      h("div", { class: "start-columns" }, form, side),
    ),
    title: () => t("nav.start"),
    topics: "gpu,system",
    on: {},
    refetch: guided.refetch,
    close: () => {
      unwatchAccess();
      guided.close();
      gpus.close();
    },
  };
}

/** Masked secrets that were not entered again. @param {unknown} config */
const maskedIn = (config) =>
  masksIn(config, "/config").map((pointer) => ({ pointer, message: t("masked"), remedy: t("masked.remedy") }));

/**
 * The buckets of a dataset as a picture.
 * @param {string} reference @param {string} type @param {import("./draft.js").Draft} draft @param {HTMLElement} plan
 */
async function showBuckets(reference, type, draft, plan) {
  const [{ data }, { bucketsPicture }] = await Promise.all([
    import("../../app/api_data.js"),
    import("../datasets/buckets.js"),
  ]);
  const [name, version] = reference.split("@");
  const { directories: _directories, directory: _directory, ...settings } = draft.dataset;
  const request = /** @type {API.CheckRequest} */ ({ ...settings, model_type: type, config: draft.config });
  if (version) request.version = version;
  const { buckets } = await data.check(name, request);
  if (!buckets.length) return;
  plan.append(
    h("h3", {}, t("plan.buckets")),
    bucketsPicture(buckets, () => go(`/data/${encodeURIComponent(name)}?tab=check`)),
  );
}

const newKey = () => crypto.randomUUID?.() ?? `page-${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** Converts errors of start to the form of validate's response. @param {unknown} error @returns {API.Validation} */
function asFindings(error) {
  if (!(error instanceof Refused) || !error.errors.length) throw error;
  return { valid: false, errors: [...error.errors], warnings: [], plan: null, gpus: null };
}

/**
 * The initial state: a copy of a task, a dataset, or the stored draft.
 * @param {URLSearchParams} query @param {(initial: InitialState) => void} choose @param {(success: string) => void} say
 */
async function prefill(query, choose, say) {
  const [taskId, dataset] = [query.get("from"), query.get("dataset")];
  if (dataset) {
    const initial = await attempt(() => beginOnDataset(dataset, query.get("model") ?? "toy"));
    if (initial) choose(initial);
    if (initial) say(t("start.on", { dataset }));
    return;
  }
  if (taskId) {
    const found = await attempt(() => api.task(taskId));
    if (!found) return;
    const { plan, model_type: model } = found;
    const request = /** @type {API.Request} */ (found.request);
    const isForm = !request.config_toml && !request.dataset_toml;
    const texts = request.config_toml
      ? null
      : { config: plan.files?.["config.toml"] ?? "", dataset: plan.files?.["dataset.toml"] ?? "" };
    choose({ mode: isForm ? "form" : "toml", request: { ...request, model_type: model }, texts });
    return;
  }
  try {
    const draft = JSON.parse(sessionStorage.getItem(DRAFT) ?? "null");
    if (draft) choose({ ...draft, mode: draft.mode === "toml" ? "toml" : "form" });
  } catch {
    // Nothing was stored.
  }
}

function forget() {
  try {
    sessionStorage.removeItem(DRAFT);
  } catch {
    // Nothing was stored.
  }
}

const TOY = { epochs: 3, eval_every_n_epochs: 1, toy: { steps_per_epoch: 40, step_seconds: 0.1 } };

/**
 * Throws Refused or Unreachable.
 * @param {string} reference such as cats@3 @param {string} model @returns {Promise<import("./view.js").InitialState>}
 */
async function beginOnDataset(reference, model) {
  const name = reference.replace(/@.*$/, "");
  if (model === "toy") {
    const dataset = { directories: [{ dataset: reference }] };
    return { mode: "form", request: { model_type: "toy", name, config: TOY, dataset } };
  }
  const [preset] = (await api.presets(model)).presets;
  const ready = /** @type {import("./draft.js").Table|undefined} */ (preset?.request.config);
  const config = { ...(ready ?? (await plainConfig(model))), micro_batch_size_per_gpu: recallSettings().batch_size };
  return { mode: "form", request: { model_type: model, name, config, dataset: datasetTable(reference) } };
}

/** The trainer's dataset file as values. @param {string} reference @returns {import("./draft.js").Table} */
function datasetTable(reference) {
  const settings = recallSettings();
  const { num_repeats: repeats, frame_buckets: frames, ...own } = datasetSettings(settings);
  const cut = readFrames(settings.frames).length ? { ...own, frame_buckets: frames } : own;
  return { ...cut, directories: [{ dataset: reference, num_repeats: repeats ?? 1 }] };
}

/** For a model type without a preset: a LoRA with the paths of the files on this machine. @param {string} model */
async function plainConfig(model) {
  const known = (await api.models()).models.find(({ id }) => id === model);
  return { ...PLAIN, model: { ...(known ? firstVariant(known).model : { type: model }), dtype: "bfloat16" } };
}

/** The state of a cache. @param {API.PlannedCache|null} cache */
function cacheText(cache) {
  if (!cache) return null;
  if (!cache.key) return t("plan.cache.never", { why: cache.reason ?? "" });
  return labelFor("plan.cache", cache.state);
}

/** @param {API.Validation} found @returns {Child} */
function planView({ plan, gpus }) {
  if (!plan) return null;
  /** @param {WordKey} key @param {string|null} value @returns {Child} */
  const fact = (key, value) => value !== null && [h("dt", {}, t(key)), h("dd", {}, value)];
  const measured = measuredText(plan.memory ?? null);
  const memory = isKnown(plan.estimated_memory_mb)
    ? t("plan.memory.each", { gb: gigabytes(plan.estimated_memory_mb) })
    : t("unknown");
  return [
    gpus?.waiting_reason
      ? note(
          "idle",
          h("strong", {}, t("plan.waits")),
          h("p", {}, waitingText(gpus.waiting_reason, gpus.waiting_reason_code)),
        )
      : null,
    h(
      "dl",
      { class: "facts" },
      fact("gpus", gpus?.gpu_ids?.length ? gpuNames(gpus.gpu_ids) : null),
      fact("plan.epochs", count(plan.epochs)),
      fact("plan.steps", count(plan.total_steps)),
      fact("plan.epoch", count(plan.steps_per_epoch)),
      fact("plan.batch", count(plan.global_batch_size)),
      fact("plan.items", count(plan.dataset_items)),
      fact("plan.cache", cacheText(plan.cache ?? null)),
      fact("plan.memory", measured ?? memory),
      fact("plan.basis", plan.memory?.origin === "measured" ? null : plan.memory_basis),
    ),
    plan.notes.map((text) => note("idle", h("p", {}, text))),
    Object.entries(plan.files ?? {}).map(([name, text]) =>
      h("details", {}, h("summary", { class: "small soft" }, name), scrollable(h("pre", { class: "file" }, text))),
    ),
    h(
      "details",
      {},
      h("summary", { class: "small soft" }, t("plan.command")),
      scrollable(h("pre", { class: "file" }, plan.command.join(" "))),
    ),
  ];
}
