// A new training, step by step or as the trainer's two files; checked before it is sent.

import { access, whyNot } from "../../app/access.js";
import { api, Refused } from "../../app/api.js";
import { models } from "../../app/api_models.js";
import { t } from "../../app/i18n.js";
import { go, taskAddress } from "../../app/router.js";
import { fill, h, setAttribute } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { scrollable } from "../../ui/scroll.js";
import { segments } from "../../ui/segments.js";
import { note } from "../../ui/status.js";
import { attempt, toast, toastError } from "../../ui/toast.js";
import { clusterPlace } from "./cluster.js";
import { formField, numberInput, textInput } from "./fields.js";
import { findingItem, findingsOf, verdict } from "./findings.js";
import { beginOnDataset } from "./from_dataset.js";
import { gpuChoice } from "./gpu_choice.js";
import { guidedForm, step } from "./guided.js";
import { keptFields } from "./kept.js";
import { noticeChoice } from "./notice.js";
import { planView } from "./plan.js";
import { masksIn, overlay } from "./request.js";
import { trainerFiles } from "./trainer_files.js";

const DRAFT = "draft";

/** @typedef {"form"|"toml"} Mode */
/**
 * What a form is begun with.
 * @typedef {{mode: Mode, request: API.Request, texts?: import("./trainer_files.js").Texts|null}} Begun
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
    keep();
    offerCache();
  };
  const [gpus, cluster] = [gpuChoice(), clusterPlace()];
  const notice = noticeChoice();
  const files = trainerFiles(changed);
  const kept = keptFields(changed);
  const guided = guidedForm(changed, (env) =>
    kept.choose({ ...kept.base(true), env: { ...kept.base(true).env, ...env } }),
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
  /** Whether one may start trainings; who may not is told. */
  function permitted() {
    const why = whyNot("training:write");
    if (why) toast("bad", why);
    return !why;
  }
  const forgetAccess = access.watch(() => {
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

  /** The same request in its other form. What has none is told, and stays as it is. @param {Mode} value */
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

  /** @param {boolean} [isDraft] it is kept here: no secret goes into it */
  function request(isDraft = false) {
    const base = kept.base(isDraft);
    return overlay(base, {
      what: mode === "form" ? guided.request(base) : files.request(),
      gpus: gpus.wish(),
      fields: {
        name: name.input.value.trim() || undefined,
        description: description.input.value || undefined,
        min_memory: memory.input.valueAsNumber || undefined,
        priority: priority.input.valueAsNumber || 0,
        notify: notice.wish(),
        slurm: cluster.wish(),
      },
    });
  }

  /** Each finding at its place; what has none stands beside the form. @param {Pick<API.Validation, "errors"|"warnings">} found */
  function show(found) {
    const all = findingsOf(found);
    const parts = [mode === "form" ? guided : files, name, description, priority, gpus, memory, cluster, notice, kept];
    const placed = new Set(parts.flatMap((part) => part.show(all)));
    const rest = all.filter((finding) => !placed.has(finding));
    fill(
      findings,
      verdict(all, h("p", {}, t("found.places"))),
      rest.length > 0 &&
        h(
          "ul",
          { class: "findings" },
          rest.map((finding) => findingItem(finding, finding.pointer, null)),
        ),
    );
  }

  /** Only versions of datasets can be cached ahead. */
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

  /** On a small screen the plan stands below the form, and a mistake anywhere: the first of them is shown. */
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

  /** The form stays: what is cached is trained on next. */
  const cacheAhead = () => send(api.cache, t("start.cached"), true);

  /** @param {typeof api.start} by @param {string} words @param {boolean} [stays] whether what was written is kept */
  async function send(by, words, stays = false) {
    if (masked().length) return show({ errors: masked(), warnings: [] });
    startButton.disabled = cacheButton.disabled = true;
    try {
      const task = await by(request(), key);
      if (!stays) forget();
      toast("ok", words);
      go(taskAddress(task.task_id));
    } catch (error) {
      if (error instanceof Refused && error.errors.length) show(asFindings(error));
      toastError(error);
    } finally {
      startButton.disabled = cacheButton.disabled = false;
    }
  }

  // A reload, or a look at another screen, does not lose what was written.
  function keep() {
    try {
      sessionStorage.setItem(DRAFT, JSON.stringify({ mode, request: request(true), texts: files.texts }));
    } catch {
      // A file that is too large to keep is still in the form.
    }
  }

  /** @param {Begun} begun */
  function choose({ mode: chosen, request: begun, texts }) {
    setMode(chosen);
    kept.choose(begun);
    gpus.choose(begun);
    cluster.choose(begun);
    notice.choose(begun);
    name.input.value = begun.name ?? "";
    description.input.value = begun.description ?? "";
    memory.input.value = String(begun.min_memory || "");
    priority.input.value = String(begun.priority ?? 0);
    if (chosen === "toml") files.choose(begun, texts);
    else attempt(() => guided.choose(begun));
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
        kept.element,
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
      forgetAccess();
      guided.close();
      gpus.close();
    },
  };
}

/** A secret that was not given again. @param {unknown} config */
const maskedIn = (config) =>
  masksIn(config, "/config").map((pointer) => ({ pointer, message: t("masked"), remedy: t("masked.remedy") }));

/**
 * How a dataset would be cut, as a picture.
 * @param {string} reference @param {string} type @param {import("./draft.js").Draft} draft @param {HTMLElement} plan
 */
async function showBuckets(reference, type, draft, plan) {
  const [{ data }, { bucketsPicture }] = await Promise.all([
    import("../../app/api_data.js"),
    import("../datasets/buckets.js"),
  ]);
  const [name, version] = reference.split("@");
  const { directories: _directories, directory: _directory, ...settings } = draft.dataset;
  const wish = /** @type {API.CheckWish} */ ({ ...settings, model_type: type, config: draft.config });
  if (version) wish.version = version;
  const { buckets } = await data.check(name, wish);
  if (!buckets.length) return;
  plan.append(
    h("h3", {}, t("plan.buckets")),
    bucketsPicture(buckets, () => go(`/data/${encodeURIComponent(name)}?tab=check`)),
  );
}

const newKey = () => crypto.randomUUID?.() ?? `page-${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** What start refused, in the form of validate's answer. @param {unknown} error @returns {API.Validation} */
function asFindings(error) {
  if (!(error instanceof Refused) || !error.errors.length) throw error;
  return { valid: false, errors: [...error.errors], warnings: [], plan: null, gpus: null };
}

/**
 * From another task, on a dataset, or from what was written last.
 * @param {URLSearchParams} query @param {(begun: Begun) => void} choose @param {(words: string) => void} say
 */
async function prefill(query, choose, say) {
  const [taskId, dataset] = [query.get("from"), query.get("dataset")];
  if (dataset) {
    const begun = await attempt(() => beginOnDataset(dataset, query.get("model") ?? "toy"));
    if (begun) choose(begun);
    if (begun) say(t("start.on", { dataset }));
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
