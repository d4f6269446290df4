// An item as the trainer sees it: the exact pixels, frame by frame, and their area in the file.

import { data, fetchPicture, itemURL } from "../../app/api_data.js";
import { refusalText } from "../../app/error_text.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { count, figure } from "../../ui/format.js";
import { scrollable } from "../../ui/scroll.js";
import { note } from "../../ui/status.js";
import { trainedQuery } from "./settings.js";

/**
 * @param {string} name of the dataset
 * @param {(recipe: API.Recipe|null) => void} reported called with how the pixels are made
 */
export function trainedView(name, reported) {
  const picture = h("img", { alt: t("trained") });
  const frame = h("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": t("trained.frame") });
  const position = h("span.small.soft");
  const slider = h("div.frame-slider", { hidden: true }, frame, position);
  const strip = h("div.frame-strip", { hidden: true });
  scrollable(strip);
  const sizeText = h("p.small.soft");
  const problem = h("div");
  const place = h("div.trained-picture", picture);
  /** @type {AbortController} */
  let request = new AbortController();
  /** Object URLs of the images shown, to be revoked. @type {Map<string, string>} */
  const addresses = new Map();
  /** @type {{item: API.Item, values: API.Query, recipe: API.Recipe}|null} */
  let shown = null;

  /** @param {HTMLImageElement} image @param {string} what @param {API.Query} values @param {AbortSignal} signal */
  async function draw(image, what, values, signal) {
    if (!shown) return;
    const address = await fetchPicture(
      itemURL(name, shown.item.item_id, "as_trained", { ...shown.values, ...values }),
      signal,
    );
    if (signal.aborted) return URL.revokeObjectURL(address);
    URL.revokeObjectURL(addresses.get(what) ?? "");
    addresses.set(what, address);
    image.src = address;
  }

  async function drawFrame() {
    if (!shown) return;
    const at = frame.valueAsNumber;
    const { frames, fps } = shown.recipe;
    position.textContent = t("trained.at", {
      n: count(at + 1),
      total: count(frames.length),
      index: count(frames[at]),
      fps: figure(fps),
    });
    const { signal } = request;
    await draw(picture, "frame", { frame: at }, signal).catch((error) => fail(error, signal));
  }

  /** @param {unknown} error @param {AbortSignal} signal */
  function fail(error, signal) {
    if (signal.aborted) return;
    place.hidden = slider.hidden = strip.hidden = true;
    sizeText.textContent = "";
    reported(null);
    fill(problem, note("warn", h("p.foreign", refusalText(error))));
  }

  frame.addEventListener("input", drawFrame);
  return {
    element: h("div.trained.stack", place, slider, strip, sizeText, problem),
    /** @param {API.Item} item @param {number|null} version null: the newest @param {import("./settings.js").Settings} settings */
    async show(item, version, settings) {
      request.abort();
      request = new AbortController();
      const { signal } = request;
      const values = { ...trainedQuery(settings), version };
      fill(problem);
      try {
        const recipe = await data.recipe(name, item.item_id, values);
        if (signal.aborted) return;
        shown = { item, values, recipe };
        const { frames, is_video: isVideo, width, height } = recipe;
        place.hidden = false;
        place.style.setProperty("--ratio", String(width / height));
        slider.hidden = strip.hidden = !isVideo || frames.length < 2;
        frame.max = String(frames.length - 1);
        frame.value = "0";
        sizeText.textContent = t("trained.size", { size: `${width} × ${height}` });
        reported(recipe);
        const image = h("img", { alt: t("trained.strip") });
        fill(strip, image);
        image.addEventListener("load", () => scrollable(strip, image), { once: true });
        await drawFrame();
        if (!strip.hidden) await draw(image, "strip", {}, signal);
      } catch (error) {
        fail(error, signal);
      }
    },
    close() {
      request.abort();
      for (const address of addresses.values()) URL.revokeObjectURL(address);
    },
  };
}
