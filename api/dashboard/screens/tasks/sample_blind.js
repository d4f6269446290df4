// Blind mode: pictures in a random order, without the names of their models, each judged by one key.

import { t } from "../../app/i18n.js";
import { openDialog } from "../../ui/dialog.js";
import { fill, h, setText } from "../../ui/dom.js";
import { attempt } from "../../ui/toast.js";
import { isVideo, ratingButtons, ratingOf } from "./sample_model.js";

/**
 * Asks for ratings of those pictures that have none, or of all if each has one.
 * @param {readonly API.GridSample[]} pictures
 * @param {(sample: API.GridSample, rating: number) => Promise<void>} rate
 * @param {() => void} ended called when it closes
 */
export function openBlind(pictures, rate, ended) {
  const unrated = pictures.filter(({ rating }) => rating === null);
  const queue = shuffled(unrated.length ? unrated : pictures);
  let at = 0;
  let isBusy = false;
  const stage = h("div.stage");
  const [position, prompt] = [h("b"), h("span.foreign")];
  const marks = ratingButtons("button.button", judge);
  const dialog = openDialog(
    t("blind"),
    (close) =>
      h(
        "div.viewer",
        stage,
        h("div.about.small", { "aria-live": "polite" }, position, prompt),
        h(
          "div.under",
          h("button.button.small", { type: "button", on: { click: () => move(-1) } }, t("blind.back")),
          h("span.group", { role: "group", "aria-label": t("viewer.rating") }, marks),
          h("button.button.small", { type: "button", on: { click: () => move(1) } }, t("blind.skip")),
          h("span.group.end", h("button.button.small", { type: "button", on: { click: close } }, t("blind.end"))),
        ),
        h("p.faint.tiny.viewer-keys", t("blind.keys")),
      ),
    "lightbox sample-viewer",
  );

  function show() {
    const { url, prompt: text, ...sample } = queue[at];
    setText(position, t("blind.position", { n: at + 1, total: queue.length }));
    setText(prompt, text);
    const video = h("video", { src: url, loop: true, autoplay: true, playsinline: true, controls: true });
    video.muted = true;
    fill(stage, h("div.pane", isVideo({ ...sample, url, prompt: text }) ? video : h("img", { src: url, alt: text })));
    const next = queue[at + 1];
    if (next?.url && !isVideo(next)) new Image().src = next.url;
  }

  /** @param {number} by */
  function move(by) {
    if (at + by >= queue.length) return dialog.close();
    at = Math.max(0, at + by);
    show();
  }

  /** @param {number} rating */
  async function judge(rating) {
    if (isBusy) return;
    isBusy = true;
    const isStored = await attempt(() => rate(queue[at], rating).then(() => true));
    isBusy = false;
    if (isStored && dialog.open) move(1);
  }

  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const rating = ratingOf(event.key);
    if (rating !== undefined) judge(rating);
    else if (event.key === "ArrowRight") move(1);
    else if (event.key === "ArrowLeft" || event.key === "Backspace") move(-1);
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("close", ended);
  show();
}

/** @template T @param {readonly T[]} values */
function shuffled(values) {
  const found = [...values];
  for (let i = found.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [found[i], found[j]] = [found[j], found[i]];
  }
  return found;
}
