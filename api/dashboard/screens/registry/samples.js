// The samples of a version: gallery, upload by drag and drop, and lightbox.

import { whyNot } from "../../app/access.js";
import { models, sampleURL } from "../../app/api_models.js";
import { soon } from "../../app/debounce.js";
import { t } from "../../app/i18n.js";
import { setDenied } from "../../ui/buttons.js";
import { askWhich } from "../../ui/dialog.js";
import { fill, h } from "../../ui/dom.js";
import { askFields } from "../../ui/form_dialog.js";
import { bytes, count } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { openLightbox } from "../../ui/lightbox.js";
import { attempt, toast } from "../../ui/toast.js";
import { dropZone, filePicker } from "../../ui/uploads/drop.js";
import { chosenFiles } from "../../ui/uploads/files.js";
import { uploadsPanel } from "../../ui/uploads/panel.js";
import { addFiles, canUpload, onUploaded } from "../../ui/uploads/uploads.js";

const ACCEPTED = "image/png,image/jpeg,image/webp,image/gif,video/mp4,video/webm";
/** Pause that combines samples uploaded together. */
const SHOW_PAUSE_MS = 700;
/** Most previews of images before an upload. */
const PREVIEWS = 12;

/** The samples of one version. @param {API.ModelVersion} version @param {string|null} owner of the model */
export function sampleGallery({ model, version, samples }, owner) {
  const place = `/samples/${model}/${version}`;
  const panel = uploadsPanel((each) => each === place);
  const grid = h("ul.samples", { hidden: true });
  const none = h("p.faint.small.samples-none");
  const picker = filePicker(false, (input) => add(chosenFiles(input)), { accept: ACCEPTED });
  const button = h("button.button.small", { type: "button" }, icon("plus"), t("samples.add"));
  const denied = () => (canUpload ? whyNot("models:write", owner) : t("upload.absent.models"));
  const element = h(
    "section.version-samples",
    { "aria-label": t("samples.of", { n: version }) },
    h("div.samples-head", h("h3", t("samples")), button),
    none,
    grid,
    h("div.adding", panel.element),
    picker,
  );
  let shown = -1;

  button.addEventListener("click", () => {
    const why = denied();
    if (why) toast("bad", why);
    else picker.click();
  });

  /**
   * Asks for details of the samples and uploads them.
   * @param {readonly import("../../ui/uploads/files.js").Found[]} files
   */
  function add(files) {
    const why = denied();
    if (why) return toast("bad", why);
    if (!files.length) return toast("bad", t("upload.nothing"));
    void attempt(() =>
      askHow(files, (about) => addFiles(place, files, { ...about, name: model, version: `${version}` })),
    );
  }

  /** @param {readonly API.Sample[]} found */
  function draw(found) {
    shown = found.length;
    grid.hidden = !found.length;
    none.hidden = found.length > 0;
    fill(none, t("samples.none"));
    const pictures = found.map(pictureOf);
    const remove = (/** @type {number} */ at, /** @type {() => void} */ close) =>
      h(
        "button.button.small.danger",
        {
          type: "button",
          title: whyNot("models:write", owner),
          "aria-disabled": whyNot("models:write", owner) ? "true" : null,
          on: { click: () => attempt(() => removeOne(found[at], close)) },
        },
        icon("trash"),
        t("data.delete"),
      );
    const open = (/** @type {number} */ at) => openLightbox(t("samples.of", { n: version }), pictures, at, remove);
    fill(
      grid,
      found.map((each, at) =>
        h("li", h("button.sample", { type: "button", on: { click: () => open(at) } }, tile(each, at))),
      ),
    );
  }

  /** @param {API.Sample} sample @param {() => void} close */
  async function removeOne(sample, close) {
    const why = whyNot("models:write", owner);
    if (why) return toast("bad", why);
    const choices = [{ label: t("data.delete.do"), value: "yes", kind: "danger sure" }];
    const text = [sample.prompt && h("p.foreign", sample.prompt), h("p", t("samples.delete.text"))];
    if (!(await askWhich({ title: t("samples.delete"), text, choices }))) return;
    await models.removeSample(model, version, sample.sample_id);
    close();
    toast("ok", t("data.deleted"));
    await refetch();
    const next = grid.querySelector("button") ?? button;
    next.focus();
  }

  const refetch = async () => draw((await models.samples(model, version)).samples);
  const refetchSoon = soon(() => void attempt(refetch), SHOW_PAUSE_MS);
  const unwatchUploads = onUploaded((each) => each === place && refetchSoon());
  const removeDropZone = dropZone(() => denied() ?? t("samples.drop", { n: version }), add, element);
  if (!samples) draw([]);

  return {
    element,
    /** @param {API.ModelVersion} now */
    update(now) {
      const why = denied();
      setDenied(button, why);
      if (now.samples !== shown) void attempt(refetch);
    },
    close() {
      removeDropZone();
      unwatchUploads();
      refetchSoon.cancel();
      panel.close();
    },
  };
}

/** @param {readonly import("../../ui/uploads/files.js").Found[]} files @param {(about: Record<string, string>) => void} send */
async function askHow(files, send) {
  const pictures = files.filter(({ file }) => file.type.startsWith("image/")).slice(0, PREVIEWS);
  const urls = pictures.map(({ file }) => URL.createObjectURL(file));
  const preview = h(
    "div.previews",
    urls.map((src, i) => h("img", { src, alt: pictures[i].path })),
    h("p", files.length === 1 ? files[0].path : t("samples.files", { n: count(files.length) })),
  );
  try {
    await askFields(
      t("samples.add.title"),
      [
        { name: "prompt", label: t("samples.prompt"), hint: t("samples.prompt.hint"), rows: 3, value: "" },
        { name: "seed", label: t("samples.seed"), hint: t("optional"), pattern: "-?[0-9]{1,20}", value: "" },
        { name: "step", label: t("step"), hint: t("optional"), type: "number", max: 999_999_999, value: "" },
      ],
      t("samples.add.do"),
      async (given) => {
        const filled = Object.entries(given).filter(([, value]) => value !== "");
        send({ kind: "sample", ...Object.fromEntries(filled) });
      },
      preview,
    );
  } finally {
    for (const url of urls) URL.revokeObjectURL(url);
  }
}

/** @param {API.Sample} sample @param {number} at */
const altOf = ({ prompt }, at) => prompt || t("samples.alt", { n: at + 1 });

/** @param {API.Sample} sample @param {number} at @returns {Child} */
const tile = (sample, at) => [
  h("img", {
    src: sampleURL(sample, "thumbnail?size=256"),
    alt: altOf(sample, at),
    loading: "lazy",
    decoding: "async",
  }),
  h(
    "span.clip.tiny.soft",
    sample.kind === "video" && icon("film"),
    sample.step === null ? null : t("step.n", { n: count(sample.step) }),
  ),
];

/** @param {API.Sample} sample @param {number} at @returns {import("../../ui/lightbox.js").Picture} */
function pictureOf(sample, at) {
  const { file_name: file, kind, prompt, seed, step, width, height, size_bytes: size } = sample;
  const facts = [
    step === null ? null : t("step.n", { n: count(step) }),
    seed === null ? null : t("seed.n", { seed }),
    width === null ? null : `${width} × ${height}`,
    bytes(size),
  ];
  return {
    url: sampleURL(sample, "file"),
    poster: sampleURL(sample, "thumbnail?size=512"),
    file,
    alt: altOf(sample, at),
    isVideo: kind === "video",
    about: [prompt && h("p.foreign", prompt), h("p.soft.tiny", facts.filter(Boolean).join(" · "))],
  };
}
