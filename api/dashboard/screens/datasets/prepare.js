// Preparation of a dataset: files for a model, captions by a model, and exports.

import { whyNot } from "../../app/access.js";
import { data, exportURL, newKey } from "../../app/api_data.js";
import { setup } from "../../app/api_setup.js";
import { t } from "../../app/i18n.js";
import { setDenied } from "../../ui/buttons.js";
import { fill, h } from "../../ui/dom.js";
import { numberInput, selectInput, textInput } from "../../ui/fields.js";
import { count, duration, figure } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { panel } from "../../ui/panel.js";
import { note } from "../../ui/status.js";
import { attempt, toast } from "../../ui/toast.js";
import { typeSelect } from "../models/type_select.js";
import { formField } from "../start/fields.js";
import { cachesList } from "./caches.js";
import { jobsList } from "./jobs.js";

const FORMS = /** @type {const} */ (["trainer", "kohya", "ai_toolkit"]);
const TEMPLATES = /** @type {const} */ (["detailed", "short", "tags"]);

/**
 * @param {string} name of the dataset
 * @param {object} options
 * @param {() => number|null} options.shown the version to work on
 * @param {() => string|null} options.owner
 * @param {() => unknown} options.made called when there is a new version
 * @param {(version: number) => unknown} options.undo
 */
export function preparePanel(name, options) {
  const works = jobsList(name, options);
  const caches = cachesList(name);
  /** Why nothing can be started now. */
  const denied = () => (options.shown() === null ? t("items.none") : whyNot("datasets:write", options.owner()));
  /** Whether a vision model is set; null: not known. @type {boolean|null} */
  let canCaption = null;
  const deniedCaptions = () => denied() ?? (canCaption === false ? t("setup.captions.none") : null);
  const noModel = h("div");
  /** @param {() => Promise<void>} run @param {() => string|null} [isDenied] returns why it cannot run */
  const guarded =
    (run, isDenied = denied) =>
    async (/** @type {Event} */ event) => {
      event.preventDefault();
      const why = isDenied();
      if (why) toast("bad", why);
      else await attempt(run);
    };
  const started = async () => {
    toast("ok", t("work.started"));
    await works.refetch();
  };
  const [files, captions, archives] = [filesForm(), captionsForm(), h("div.choices.export")];

  const startFiles = guarded(async () => {
    await data.preprocess({ ...files.toRequest(), dataset: `${name}@${options.shown()}` }, newKey());
    await started();
  });
  const estimate = guarded(async () => {
    const { estimate: found } = await data.generate(name, {
      ...captions.toRequest(),
      version: String(options.shown()),
      dry_run: true,
    });
    captions.showEstimate(found);
  }, deniedCaptions);
  const startCaptions = guarded(async () => {
    await data.generate(name, { ...captions.toRequest(), version: String(options.shown()) }, newKey());
    await started();
  }, deniedCaptions);
  const buttons = [
    h("button.button.primary", { type: "submit" }, icon("play"), t("prepare.files.do")),
    h("button.button", { type: "button", on: { click: estimate } }, t("prepare.captions.ask")),
    h("button.button.primary", { type: "submit" }, icon("pen"), t("prepare.captions.do")),
  ];

  function showAccess() {
    setDenied(buttons[0], denied());
    for (const button of buttons.slice(1)) setDenied(button, deniedCaptions());
    fill(
      noModel,
      canCaption === false &&
        note("warn", h("p", t("setup.captions.none"), " ", h("a", { href: "#/settings/setup" }, t("setup.go")))),
    );
    const version = options.shown();
    fill(
      archives,
      version === null
        ? h("p.faint.small", t("items.none"))
        : FORMS.map((form) =>
            h(
              "a.button",
              { href: exportURL(name, { form, version }), download: "" },
              icon("down"),
              t(`export.${form}`),
            ),
          ),
    );
  }

  /** @param {WordKey} title @param {WordKey} text @param {...Child} content */
  const part = (title, text, ...content) =>
    panel("", t(title), null, h("div.body.stack", h("p.faint.small", t(text)), content));
  const element = h(
    "div.prepare",
    h("div.prepare-works", works.element),
    h("div.prepare-works", caches.element),
    part(
      "prepare.files",
      "prepare.files.text",
      h("form.stack", { on: { submit: startFiles } }, files.element, h("div.choices", buttons[0])),
    ),
    h(
      "div.stack",
      part(
        "prepare.captions",
        "prepare.captions.text",
        noModel,
        h("form.stack", { on: { submit: startCaptions } }, captions.element, h("div.choices", buttons[1], buttons[2])),
      ),
      part("export", "export.text", archives),
    ),
  );
  return {
    element,
    showAccess,
    async refetch() {
      showAccess();
      const [{ steps }] = await Promise.all([setup.checklist(), works.refetch(), caches.refetch()]);
      canCaption = steps.some(({ id, state }) => id === "captions" && state === "done");
      showAccess();
    },
    close() {
      works.close();
      caches.close();
    },
  };
}

/** @template {HTMLElement} Input @param {string} name @param {Input} input @param {string} [hint] */
const field = (name, input, hint) =>
  formField({ name: `prepare-${name}`, label: t(/** @type {WordKey} */ (`make.${name}`)), pointers: [], input, hint });

function filesForm() {
  const none = /** @type {[string, string]} */ (["", t("make.none")]);
  const fields = {
    model_type: field("model_type", typeSelect({ first: [none], toy: false }).input),
    fps: field("fps", textInput({ placeholder: t("make.fps.hint"), pattern: "\\s*(keep|\\d+(\\.\\d+)?)?\\s*" })),
    resolution: field(
      "resolution",
      textInput({ placeholder: "512x512", pattern: "\\s*\\d{2,5}\\s*[x×]\\s*\\d{2,5}\\s*" }),
    ),
    short_side: field("short_side", numberInput({ min: 16, max: 16_384, step: 1 })),
    cut: field("cut", selectInput([none, ["seconds", t("make.cut.seconds")], ["scene", t("make.cut.scene")]])),
    seconds: field("seconds", numberInput({ min: 0.1, step: "any" })),
    first_frame: field(
      "first_frame",
      selectInput([none, ["add", t("make.first.add")], ["only", t("make.first.only")]]),
    ),
    image_format: field("image_format", selectInput([none, ["png", "PNG"], ["jpeg", "JPEG"], ["webp", "WebP"]])),
    trigger: field("trigger", textInput({ maxlength: 1000 })),
    into: field("into", textInput({ placeholder: t("make.into.hint"), maxlength: 100 })),
  };
  /** @param {keyof typeof fields} name */
  const value = (name) => fields[name].input.value.trim();
  return {
    element: h(
      "div.form-grid",
      Object.values(fields).map((each) => each.element),
    ),
    /** @returns {API.WorkRequest} */
    toRequest() {
      /** @type {Record<string, unknown>} */
      const request = {
        model_type: value("model_type"),
        fps: value("fps") === "keep" ? "keep" : Number(value("fps")),
        resolution: value("resolution").replace(/\s*[x×]\s*/, "x"),
        short_side: Number(value("short_side")),
        first_frame: value("first_frame"),
        image_format: value("image_format"),
        into: value("into"),
      };
      if (value("cut"))
        request.cut = { by: value("cut"), ...(value("seconds") ? { seconds: Number(value("seconds")) } : {}) };
      if (value("trigger")) request.captions = { trigger: value("trigger") };
      return Object.fromEntries(Object.entries(request).filter(([, each]) => each));
    },
  };
}

function captionsForm() {
  const template = field(
    "template",
    selectInput([
      ...TEMPLATES.map((name) => /** @type {[string, string]} */ ([name, t(`template.${name}`)])),
      ["", t("template.own")],
    ]),
  );
  const prompt = field("prompt", h("textarea.input", { rows: 3, maxlength: 8000 }));
  const frames = field("frames", numberInput({ min: 1, max: 16, step: 1, value: 4 }));
  const missing = h("input", { type: "checkbox", id: "prepare-missing", checked: true });
  const estimateBox = h("div", { "aria-live": "polite" });
  const show = () => {
    prompt.element.hidden = template.input.value !== "";
  };
  template.input.addEventListener("change", show);
  show();
  return {
    element: h(
      "div.stack",
      h("div.form-grid", template.element, frames.element),
      prompt.element,
      h("label.check", { for: "prepare-missing" }, missing, t("make.missing")),
      estimateBox,
    ),
    /** @returns {API.GenerateRequest} */
    toRequest: () => ({
      ...(template.input.value
        ? { template: /** @type {typeof TEMPLATES[number]} */ (template.input.value) }
        : { prompt: prompt.input.value }),
      frames: frames.input.valueAsNumber || 4,
      only_missing: missing.checked,
    }),
    /** @param {API.CaptionEstimate} found */
    showEstimate(found) {
      const { questions, known, endpoint, model, estimated_seconds: seconds, estimated_cost: cost } = found;
      const parts = [
        t("estimate.questions", { n: count(questions - known), known: count(known) }),
        seconds === null ? t("estimate.time.unknown") : t("estimate.time", { time: duration(seconds) }),
        cost === null ? t("estimate.cost.unknown") : t("estimate.cost", { cost: figure(cost) }),
      ];
      fill(estimateBox, note("idle", h("p", parts.join(" · ")), h("p.foreign.soft", `${model} · ${endpoint}`)));
    },
  };
}
