// The dialog of one item: file with the trained part, the trainer's pixels, caption, and details.

import { t } from "../../app/i18n.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h, setText } from "../../ui/dom.js";
import { field } from "../../ui/fields.js";
import { bytes, count, duration, figure, UNKNOWN } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";
import { note } from "../../ui/status.js";
import { attempt } from "../../ui/toast.js";
import { trainedView } from "./as_trained.js";
import { MAX_CHARACTERS } from "./caption_editor.js";
import { originalView } from "./original.js";
import { recallSettings, settingsForm } from "./settings.js";
import { hasThumbnail, problemLabel } from "./tile.js";

/**
 * @param {string} name of the dataset
 * @param {object} options
 * @param {number} options.index of the first item shown
 * @param {number|null} options.version the version shown, if it is not the newest
 * @param {number} options.total
 * @param {(index: number) => Promise<API.Item|undefined>} options.get
 * @param {string|null} options.denied why its caption cannot be changed
 * @param {(item: API.Item, caption: string) => Promise<void>} options.save
 * @param {string|null} options.deniedItems why it cannot be excluded
 * @param {(what: import("./items_panel.js").ItemChange, ids: readonly string[]) => Promise<boolean>} options.change
 * @param {(index: number) => void} options.closed called with the last item shown
 */
export function openItem(name, options) {
  let at = options.index;
  /** @type {API.Item|undefined} */
  let item;
  let settings = recallSettings();
  const title = h("h2.clip.foreign.grow");
  const place = h("span.small.soft.nowrap");
  const original = originalView(name);
  const trained = trainedView(name, (recipe) => original.mark(recipe));
  const caption = h("textarea.input", { id: "item-caption", rows: 4, maxlength: MAX_CHARACTERS });
  caption.readOnly = options.denied !== null;
  const save = h(
    "button.button.small.primary",
    { title: options.denied, on: { click: () => void attempt(saveCaption) } },
    t("save"),
  );
  save.setAttribute("aria-disabled", String(options.denied !== null));
  const exclude = h("button.button.small", {
    title: options.deniedItems,
    "aria-disabled": String(options.deniedItems !== null),
    on: { click: () => void attempt(toggle) },
  });
  const facts = h("dl.facts");
  const problems = h("div.stack");

  /** Saves the caption before another item is shown. */
  async function saveCaption() {
    if (!item || options.denied || caption.value === (item.caption ?? "")) return;
    const written = caption.value;
    await options.save(item, written);
    item = { ...item, caption: written };
  }

  /** Excludes the item, or includes it again. */
  async function toggle() {
    const before = item;
    if (!before || !(await options.change(before.excluded ? "include" : "exclude", [before.item_id]))) return;
    if (item === before) item = { ...before, excluded: !before.excluded };
    showExcluded();
  }

  const showExcluded = () => setText(exclude, t(item?.excluded ? "items.include" : "items.exclude"));

  /** @param {number} index */
  async function show(index) {
    await saveCaption();
    at = Math.min(options.total - 1, Math.max(0, index));
    const mine = at;
    const next = await options.get(at);
    if (mine !== at || !next) return;
    item = next;
    setText(title, item.name);
    setText(place, `${count(at + 1)} / ${count(options.total)}`);
    caption.value = item.caption ?? "";
    caption.placeholder = t(item.caption === null ? "caption.none" : "problem.empty_caption");
    showExcluded();
    fill(facts, factsOf(item));
    const { problems: found, problem_text: problemText } = item;
    fill(
      problems,
      found.length > 0 &&
        note("warn", h("p", found.map(problemLabel).join(" · ")), problemText && h("p.foreign", problemText)),
    );
    original.show(item, options.version);
    showTrained();
  }

  function showTrained() {
    trained.element.hidden = !item || !hasThumbnail(item);
    if (item && hasThumbnail(item)) trained.show(item, options.version, settings);
  }

  const form = settingsForm("item", settings, (now) => {
    settings = now;
    showTrained();
  });
  /** @param {WordKey} key @param {import("../../ui/icons.js").IconName} sign @param {WordKey} label @param {() => void} run */
  const button = (key, sign, label, run) =>
    h("button.button.small", { "aria-label": t(key), on: { click: run } }, icon(sign), t(label));
  const turn = (/** @type {number} */ by) => void attempt(() => show(at + by));
  const dialog = openDialog(
    t("item"),
    (close) =>
      h(
        "div.item-view",
        h(
          "div.item-head",
          button("item.previous", "left", "previous", () => turn(-1)),
          button("item.next", "right", "next", () => turn(1)),
          title,
          place,
          button("close", "close", "close", close),
        ),
        h(
          "div.item-pictures",
          h("figure", h("figcaption.label", t("original")), original.element),
          h("figure", h("figcaption.label", t("trained")), trained.element),
        ),
        h(
          "div.item-sides",
          h("div.stack", field(t("caption"), caption), h("div.choices", exclude, save), problems, facts),
          h("details", { open: true }, h("summary.label", t("trained.how")), form),
        ),
      ),
    "item-dialog",
  );
  dialog.addEventListener("keydown", (event) => {
    const isField = event.target instanceof Element && event.target.matches("input, textarea, select, video");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) attempt(saveCaption);
    else if (isField) return;
    else if (event.key === "ArrowLeft") turn(-1);
    else if (event.key === "ArrowRight") turn(1);
    else if (event.key.toLowerCase() === "e") caption.focus();
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("close", () => {
    attempt(saveCaption);
    trained.close();
    options.closed(at);
  });
  attempt(() => show(at));
}

/** @param {API.Item} item @returns {Child} */
function factsOf(item) {
  const { kind, format, width, height, duration: seconds, fps, frame_count: frames, size_bytes: size, sha256 } = item;
  /** @param {WordKey} key @param {Child} value */
  const fact = (key, value) => [h("dt", t(key)), h("dd.foreign", value)];
  return [
    fact("kind", [kind ? t(`kind.${kind}`) : UNKNOWN, format && ` · ${format}`]),
    fact("fact.pixels", width && height ? `${count(width)} × ${count(height)}` : UNKNOWN),
    kind !== "image" && [
      fact("duration", duration(seconds)),
      fact("fact.fps", figure(fps)),
      fact("fact.frames", count(frames)),
    ],
    fact("size", bytes(size)),
    (item.has_mask || item.has_control) &&
      fact("fact.beside", [item.has_mask && t("item.mask"), " ", item.has_control && t("item.control")]),
    fact("fact.sha256", h("code", sha256)),
  ];
}
