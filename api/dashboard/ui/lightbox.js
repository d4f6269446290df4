// A lightbox for images and videos.

import { t } from "../app/i18n.js";
import { openDialog } from "./dialog.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {{url: string, file: string, alt: string, isVideo?: boolean, poster?: string, about?: Child}} Picture */

/**
 * Opens at one of them; arrow keys move.
 * @param {string} title @param {readonly Picture[]} pictures @param {number} first
 * @param {(at: number, close: () => void) => Child} [tools] actions on the one that is shown
 */
export function openLightbox(title, pictures, first, tools) {
  let at = first;
  const stage = h("div.stage");
  const name = h("span.grow.clip.small.foreign", { "aria-live": "polite" });
  const about = h("div.about.small.foreign");
  const more = h("span.more");
  const save = h("a.button.small", icon("down"), t("download"));
  const show = (/** @type {number} */ index) => {
    at = (index + pictures.length) % pictures.length;
    const picture = pictures[at];
    fill(stage, draw(picture));
    fill(about, picture.about);
    fill(
      more,
      tools?.(at, () => dialog.close()),
    );
    name.textContent = `${picture.file} · ${at + 1} / ${pictures.length}`;
    save.href = picture.url;
    save.download = picture.file;
  };
  /** @param {WordKey} key @param {import("./icons.js").IconName} sign @param {WordKey} label @param {() => void} run */
  const button = (key, sign, label, run) =>
    h("button.button.small", { type: "button", "aria-label": t(key), on: { click: run } }, icon(sign), t(label));
  const dialog = openDialog(
    title,
    (close) =>
      h(
        "div",
        stage,
        about,
        h(
          "div.under",
          pictures.length > 1 && button("picture.previous", "left", "previous", () => show(at - 1)),
          pictures.length > 1 && button("picture.next", "right", "next", () => show(at + 1)),
          name,
          more,
          save,
          button("close", "close", "close", close),
        ),
      ),
    "lightbox",
  );
  dialog.addEventListener("keydown", (event) => {
    // Arrow keys in a focused video seek.
    if (event.target instanceof HTMLVideoElement || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowLeft") show(at - 1);
    if (event.key === "ArrowRight") show(at + 1);
  });
  show(first);
}

/** @param {Picture} picture */
const draw = ({ url, alt, isVideo, poster }) =>
  isVideo
    ? h("video", { src: url, poster, controls: true, loop: true, muted: true, preload: "metadata", "aria-label": alt })
    : h("img", { src: url, alt });
