// The new training screen: step by step or as the trainer's files; validated before it starts.

import { access, whyNot } from "../../app/access.js";
import { api, Refused } from "../../app/api.js";
import { newKey } from "../../app/api_data.js";
import { models } from "../../app/api_models.js";
import { soon } from "../../app/debounce.js";
import { labelFor, t, translate } from "../../app/i18n.js";
import { go, sweepAddress, taskAddress } from "../../app/router.js";
import { loadStyleOnce } from "../../app/shell/style.js";
import { setDenied } from "../../ui/buttons.js";
import { fill, h, setText } from "../../ui/dom.js";
import { numberInput, selectInput, textInput } from "../../ui/fields.js";
import { bytes, count, duration, gigabytes, isKnown } from "../../ui/format.js";
import { gpuNames } from "../../ui/gpus.js";
import { icon } from "../../ui/icons.js";
import { CLASSES, isoTime, localInput } from "../../ui/order.js";
import { scrollable } from "../../ui/scroll.js";
import { segments } from "../../ui/segments.js";
import { note } from "../../ui/status.js";
import { attempt, toast, toastError } from "../../ui/toast.js";
import { waitingText } from "../../ui/waiting.js";
import { clusterSection } from "./cluster.js";
import { forgetDraft, storeDraft, storedDraft } from "./draft.js";
import { extraFields } from "./extra_fields.js";
import { formField } from "./fields.js";
import { findingLink, findingsOf, placeOf, verdict } from "./findings.js";
import { gpuChoice } from "./gpu_choice.js";
import { fold, guidedForm, step } from "./guided.js";
import { measuredText } from "./memory.js";
import { noticeChoice } from "./notice.js";
import { maskedFinding, masksIn, overlay } from "./request.js";
import { samplesSection } from "./samples.js";
import { VARY } from "./setting_field.js";
import { sweepPlanView } from "./sweep_plan.js";
import { varySection } from "./vary.js";

/** The figure in front of its source, which is shown already. */
const FIGURE = /^[\d,]+ MB[,，] ?(from |依据)?/;
/** The pause in typing after which the request is validated. */
const VALIDATE_MS = 700;

/** @typedef {"form"|"toml"} Mode */
/**
 * The initial state of the form.
 * @typedef {{mode: Mode, request: API.Request, texts?: import("./trainer_files.js").Texts|null, preset?: string, sweep?: import("./vary.js").VariedDraft}} InitialState
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
    store();
    showState();
    validateSoon();
  };
  const [gpus, cluster] = [gpuChoice(), clusterSection()];
  const notice = noticeChoice();
  const samples = samplesSection(() => request(true).model_type ?? "", changed);
  /** The files as text; loaded when they are first shown. @type {ReturnType<typeof import("./trainer_files.js").trainerFiles>|null} */
  let files = null;
  const filesPlace = h("div");
  const extra = extraFields(changed);
  const vary = varySection(changed);
  const name = formField({
    name: "name",
    label: t("name"),
    pointers: ["/name"],
    input: textInput({ maxlength: 200, placeholder: t("optional") }),
  });
  const guided = guidedForm(changed, (env) =>
    extra.choose({ ...extra.base(true), env: { ...extra.base(true).env, ...env } }),
  );
  const priority = formField({
    name: "priority",
    label: t("priority"),
    pointers: ["/priority"],
    input: numberInput({ min: -1000, max: 1000, step: 1, value: 0 }),
  });
  const group = formField({
    name: "priority_class",
    label: t("class"),
    pointers: ["/priority_class"],
    input: selectInput(CLASSES, {}, "normal"),
    hint: t("class.text"),
  });
  const notBefore = formField({
    name: "not_before",
    label: t("not_before"),
    pointers: ["/not_before"],
    input: h("input.input", { type: "datetime-local" }),
    hint: t("not_before.text"),
  });
  const description = formField({
    name: "description",
    label: t("description"),
    pointers: ["/description"],
    input: h("textarea.input", { rows: 2, maxlength: 4000, placeholder: t("optional") }),
    wide: true,
  });
  const memory = formField({
    name: "min_memory",
    label: t("gpus.memory"),
    pointers: ["/min_memory"],
    input: numberInput({ min: 0, step: 1, placeholder: t("optional") }),
  });
  const [findings, plan] = [h("div.stack", { "aria-live": "polite" }), h("div.stack")];
  const onGPUs = h("span.small.soft");
  const validateButton = h(
    "button.button",
    { type: "button", on: { click: () => permitted() && attempt(validate).then(reveal) } },
    icon("check"),
    t("validate"),
  );
  const cacheButton = h(
    "button.button",
    { type: "button", hidden: true, on: { click: () => permitted() && attempt(cacheAhead) } },
    icon("save"),
    t("start.cache"),
  );
  const rehearseButton = h(
    "button.button",
    { type: "button", title: t("start.rehearse.title"), on: { click: () => permitted() && attempt(rehearse) } },
    icon("clock"),
    t("start.rehearse"),
  );
  const startLabel = h("span", t("start.do"));
  const startButton = h("button.button.primary", { type: "submit" }, icon("play"), startLabel);

  let validations = 0;
  const denied = h("div.stack");
  /** Whether the user may start trainings; otherwise reports why. */
  function permitted() {
    const why = whyNot("training:write");
    if (why) toast("bad", why);
    return !why;
  }
  const unwatchAccess = access.watch(() => {
    const why = whyNot("training:write");
    fill(denied, why && note("warn", h("p", why)));
    for (const button of [validateButton, cacheButton, rehearseButton, startButton]) {
      setDenied(button, why);
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
      if (value === "toml") await loadFiles();
      if (value === "toml" && mode === "form" && guided.type !== "toy") await showTexts();
      if (value === "form" && mode === "toml" && files?.isWritten) await readTexts(files);
    } catch (error) {
      modes.select(mode);
      // The result of a validation on its way would hide these.
      validations += 1;
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
    (await loadFiles()).choose({ model_type: guided.type, config, dataset }, texts);
  }

  async function loadFiles() {
    const { trainerFiles } = await import("./trainer_files.js");
    if (!files) {
      files = trainerFiles(changed);
      filesPlace.append(files.element);
    }
    return files;
  }

  /** @param {NonNullable<typeof files>} files */
  async function readTexts(files) {
    const { model_type: type = "", config_toml, dataset_toml, config, dataset } = files.request();
    if (config_toml === undefined) return guided.choose({ model_type: type, config, dataset });
    const found = await models.convert(type, { config_toml, dataset_toml });
    await guided.choose({ model_type: type, config: found.config, dataset: found.dataset });
  }

  /** @param {Mode} value */
  function setMode(value) {
    mode = value;
    modes.select(value);
    guided.element.hidden = guided.settings.hidden = mode !== "form";
    filesPlace.hidden = mode !== "toml";
  }

  /** @param {boolean} [isDraft] it is stored in the browser, so it must not contain secrets */
  function request(isDraft = false) {
    const base = extra.base(isDraft);
    return overlay(base, {
      what: files && mode === "toml" ? files.request() : guided.request(base),
      gpus: gpus.toRequest(),
      fields: {
        name: name.input.value.trim() || undefined,
        description: description.input.value || undefined,
        min_memory: memory.input.valueAsNumber || undefined,
        priority: priority.input.valueAsNumber || 0,
        priority_class:
          group.input.value === "normal" ? undefined : CLASSES.find(([name]) => name === group.input.value)?.[0],
        not_before: isoTime(notBefore.input.value) ?? undefined,
        notify: notice.toRequest(),
        slurm: cluster.toRequest(),
        samples: samples.toRequest(),
      },
    });
  }

  /**
   * Shows findings at their fields, and beside the form as links to these.
   * @param {Pick<API.Validation, "errors"|"warnings"> & Partial<Pick<API.Validation, "gpus">>} found
   */
  function show(found) {
    const all = findingsOf(found).map((each) => gpus.explain(mode === "form" ? guided.explain(each) : each));
    const parts = [
      files && mode === "toml" ? files : guided,
      name,
      description,
      priority,
      group,
      notBefore,
      gpus,
      memory,
      cluster,
      notice,
      samples,
      extra,
      vary,
    ];
    for (const part of parts) part.show(all);
    fill(findings, verdict(all, Boolean(found.gpus?.waiting_reason)), h("ul.findings", all.map(findingLink)));
    return all;
  }

  /** Only dataset versions can be cached ahead. */
  function showState() {
    const { dataset, dataset_toml: text, gpu_ids: named, gpu_count: number } = request();
    samples.tell();
    setText(onGPUs, t("step.run.gpus", { n: named?.length ?? number ?? 1 }));
    setText(startLabel, vary.number ? t("sweep.start", { n: vary.number }) : t("start.do"));
    cacheButton.hidden = !/"dataset":|^\s*dataset\s*=/m.test(text ?? JSON.stringify(dataset ?? {}));
  }

  const masked = () => (files && mode === "toml" ? files.masked() : maskedIn(guided.draft.config));

  async function validate() {
    const own = ++validations;
    if (vary.number) return planSweep(own);
    const found = await api.validate(request()).catch(asFindings);
    // A later validation is on its way.
    if (own !== validations) return [];
    found.errors.push(...masked());
    const all = show(found);
    fill(plan, planView(found));
    const reference = mode === "form" && guided.type !== "toy" && guided.reference;
    if (reference) await showBuckets(reference, guided.type, guided.draft, plan).catch(() => {});
    return all;
  }

  const sweepRequest = () => ({ request: request(), ...vary.toRequest() });

  /** Shows the plan of all trainings. @param {number} own the number of this validation */
  async function planSweep(own) {
    const planned = await api.planSweep(sweepRequest()).then((found) => found.plan, asFindings);
    if (own !== validations || !planned) return [];
    const { errors, warnings } = planned;
    const all = show({ errors: [...inRequest(errors), ...masked()], warnings: inRequest(warnings) });
    fill(plan, "trainings" in planned && sweepPlanView(planned));
    return all;
  }

  // While the user types; whatever goes wrong is reported when the user validates or starts.
  const validateSoon = soon(() => {
    const isReady = (mode === "form" || files?.isWritten) && !masked().length;
    if (isReady && !whyNot("training:write")) validate().catch(() => {});
  }, VALIDATE_MS);

  /** Goes to the first error, or on small screens to the plan. @param {SeverityFinding[]|undefined} all */
  function reveal(all) {
    const [first] = all ?? [];
    const goToField = first?.severity === "error" ? placeOf(first) : null;
    if (goToField) return goToField();
    const { top } = side.getBoundingClientRect();
    if (top < 0 || top > innerHeight * 0.8) side.scrollIntoView({ block: "start" });
  }

  /** @param {Event} event */
  async function start(event) {
    event.preventDefault();
    if (!permitted()) return;
    if (vary.number) await send(api.createSweep, t("sweep.done"));
    else await send(api.start, t("start.done"));
  }

  /** The form stays open: the next step is a training with the cache. */
  const cacheAhead = () => send(api.cache, t("start.cached"), true);

  const rehearse = () => send(api.rehearse, t("start.rehearsed"), true);

  /** @param {typeof api.start|typeof api.createSweep} by @param {string} success @param {boolean} [stays] whether the draft is kept */
  async function send(by, success, stays = false) {
    if (masked().length) return show({ errors: masked(), warnings: [] });
    startButton.disabled = cacheButton.disabled = rehearseButton.disabled = true;
    try {
      const address =
        by === api.createSweep
          ? await createSweep()
          : taskAddress((await /** @type {typeof api.start} */ (by)(request(), key)).task_id);
      if (!stays) forgetDraft();
      toast("ok", success);
      go(address);
    } catch (error) {
      if (error instanceof Refused && error.errors.length) {
        const { errors, warnings } = asFindings(error);
        reveal(show({ errors: inRequest(errors), warnings }));
      }
      toastError(error);
    } finally {
      startButton.disabled = cacheButton.disabled = rehearseButton.disabled = false;
    }
  }

  async function createSweep() {
    const { sweep } = await api.createSweep(sweepRequest(), key);
    return sweepAddress(sweep?.sweep_id ?? "");
  }

  const store = () =>
    storeDraft({ mode, request: request(true), texts: files?.texts, preset: guided.preset, sweep: vary.stored });

  /** Lets a field try several values. @param {Event} event */
  function tryValues(event) {
    const { pointer, path } = /** @type {CustomEvent} */ (event).detail;
    vary.addRow(pointer, guided.draft.get(path));
  }

  /** @param {InitialState} initial */
  async function choose({ mode: chosen, request: initial, texts, preset, sweep }) {
    if (chosen === "toml") (await loadFiles()).choose(initial, texts);
    setMode(chosen);
    extra.choose(initial);
    gpus.choose(initial);
    cluster.choose(initial);
    notice.choose(initial);
    samples.choose(initial);
    vary.choose(sweep);
    name.input.value = initial.name ?? "";
    description.input.value = initial.description ?? "";
    memory.input.value = String(initial.min_memory || "");
    priority.input.value = String(initial.priority ?? 0);
    group.input.value = initial.priority_class ?? "normal";
    notBefore.input.value = localInput(initial.not_before);
    if (chosen === "toml") validateSoon();
    else attempt(() => guided.choose(initial, preset).then(validateSoon));
    showState();
  }

  const form = h(
    "form.panel.start-form",
    { novalidate: true, on: { submit: start, input: changed, change: changed } },
    h("header", modes.element),
    h(
      "div.body.stack",
      guided.element,
      filesPlace,
      h("div.name-step", step("step.name", name.element)),
      extra.element,
      guided.settings,
      vary.element,
      fold(
        "step.run",
        onGPUs,
        h("div.form-grid", group.element, priority.element, notBefore.element, memory.element, description.element),
        gpus.element,
        cluster.element,
        notice.element,
      ),
      fold("auto.title", samples.said, samples.element),
      h("div.choices.start-choices", validateButton, cacheButton, rehearseButton, startButton),
    ),
  );
  form.addEventListener(VARY, tryValues);
  const side = h(
    "aside.panel.start-side",
    { "aria-label": t("plan") },
    h("header", h("h2", t("plan"))),
    h("div.body.stack", findings, plan),
  );
  scrollable(side, plan);
  fill(plan, h("p.faint.small", t("plan.hint")));
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
  else if (isFilled(place.query)) prefill(place.query, (initial) => void attempt(() => choose(initial)));
  else guided.begin("", "");
  showState();
  validateSoon();
  return {
    element: h("div.screen", h("div.screen-head", h("h1", t("nav.start"))), denied, h("div.start-columns", form, side)),
    title: () => t("nav.start"),
    topics: "gpu,system",
    on: {},
    refetch: guided.refetch,
    close: () => {
      unwatchAccess();
      validateSoon.cancel();
      guided.close();
      gpus.close();
    },
  };
}

/** Masked secrets that were not entered again. @param {unknown} config */
const maskedIn = (config) => masksIn(config, "/config").map(maskedFinding);

/**
 * The buckets of a dataset as a picture.
 * @param {string} reference @param {string} type @param {import("./draft.js").Draft} draft @param {HTMLElement} plan
 */
async function showBuckets(reference, type, draft, plan) {
  const [{ data }, { bucketsPicture }] = await Promise.all([
    import("../../app/api_data.js"),
    import("../datasets/buckets.js"),
    loadStyleOnce("data"),
  ]);
  const [name, version] = reference.split("@");
  const { directories: _directories, directory: _directory, ...settings } = draft.dataset;
  const request = /** @type {API.CheckRequest} */ ({ ...settings, model_type: type, config: draft.config });
  if (version) request.version = version;
  const { buckets } = await data.check(name, request);
  if (!buckets.length) return;
  plan.append(
    h("h3", t("plan.buckets")),
    bucketsPicture(buckets, () => go(`/datasets/${encodeURIComponent(name)}?tab=check`)),
  );
}

/** Findings about a sweep with the pointers of its request. @param {readonly API.Finding[]} findings */
const inRequest = (findings) =>
  findings.map((finding) => ({ ...finding, pointer: finding.pointer.replace(/^\/request(?=\/|$)/, "") }));

/** Converts errors of start to the form of validate's response. @param {unknown} error @returns {API.Validation} */
function asFindings(error) {
  if (!(error instanceof Refused) || !error.errors.length) throw error;
  return { valid: false, errors: [...error.errors], warnings: [], plan: null, gpus: null, estimated_duration: null };
}

/** Whether there is an initial state. @param {URLSearchParams} query */
const isFilled = (query) => query.has("dataset") || query.has("from") || storedDraft() !== null;

/**
 * The initial state: a copy of a task, a dataset, or the stored draft.
 * @param {URLSearchParams} query @param {(initial: InitialState) => void} choose
 */
async function prefill(query, choose) {
  if (query.get("dataset") || query.get("from")) {
    const { initialState } = await import("./initial.js");
    const initial = await attempt(() => initialState(query));
    if (initial) choose(initial);
    return;
  }
  const draft = storedDraft();
  if (draft) choose({ ...draft, mode: draft.mode === "toml" ? "toml" : "form" });
}

/** The state of a cache. @param {API.PlannedCache|null} cache */
function cacheText(cache) {
  if (!cache) return null;
  if (!cache.key) return t("plan.cache.never", { why: translate(cache.reason ?? "", cache.reason_code) });
  return labelFor("plan.cache", cache.state);
}

/** How often, and the disk space. @param {API.PlannedOutputs|null|undefined} outputs */
function outputsText(outputs) {
  if (!outputs) return null;
  const number = isKnown(outputs.count) ? count(outputs.count) : t("plan.by_time");
  return isKnown(outputs.total_bytes) ? t("plan.outputs", { n: number, size: bytes(outputs.total_bytes) }) : number;
}

/** The disk space that these need together; null if none is known. @param {(API.PlannedOutputs|null|undefined)[]} outputs */
function diskText(outputs) {
  const made = outputs.flatMap((each) => (each ? [each.total_bytes] : []));
  const known = made.filter(isKnown);
  if (!known.length) return null;
  const size = bytes(known.reduce((sum, each) => sum + each, 0));
  return known.length < made.length ? t("plan.disk.least", { size }) : size;
}

/** @param {API.Validation} found @returns {Child} */
function planView({ plan, gpus, estimated_duration: seconds }) {
  if (!plan) return null;
  /** @param {WordKey} key @param {string|null} value @returns {Child} */
  const fact = (key, value) => value !== null && [h("dt", t(key)), h("dd", value)];
  const measured = measuredText(plan.memory ?? null);
  const memory = isKnown(plan.estimated_memory_mb)
    ? t("plan.memory.each", { gb: gigabytes(plan.estimated_memory_mb) })
    : t("unknown");
  return [
    gpus?.waiting_reason
      ? note("idle", h("strong", t("plan.waits")), h("p", waitingText(gpus.waiting_reason, gpus.waiting_reason_code)))
      : null,
    h(
      "dl.facts",
      fact("gpus", gpus?.gpu_ids?.length ? gpuNames(gpus.gpu_ids) : null),
      fact("plan.epochs", count(plan.epochs)),
      fact("plan.steps", count(plan.total_steps)),
      fact("plan.epoch", count(plan.steps_per_epoch)),
      fact("plan.batch", count(plan.global_batch_size)),
      fact("plan.items", count(plan.dataset_items)),
      fact("plan.duration", isKnown(seconds) ? duration(seconds) : null),
      fact("plan.evaluations", outputsText(plan.evaluations)),
      fact("plan.saved_models", outputsText(plan.saved_models)),
      fact("plan.checkpoints", outputsText(plan.checkpoints)),
      fact("plan.cache", cacheText(plan.cache ?? null)),
      fact("plan.disk", diskText([plan.saved_models, plan.checkpoints])),
      h("dt", t("plan.memory")),
      h(
        "dd",
        measured ?? memory,
        !measured &&
          plan.memory_basis &&
          h(
            "p.tiny.faint",
            t("plan.basis", { basis: translate(plan.memory_basis, plan.memory_basis_code).replace(FIGURE, "") }),
          ),
      ),
    ),
    plan.notes.map((text, i) => note("idle", h("p", translate(text, plan.note_codes[i])))),
    Object.entries(plan.files ?? {}).map(([name, text]) =>
      h("details", h("summary.small.soft", name), scrollable(h("pre.file", text))),
    ),
    h("details", h("summary.small.soft", t("plan.command")), scrollable(h("pre.file", plan.command.join(" ")))),
  ];
}
