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
  const stage = h("div", { class: "stage" });
  const name = h("span", { class: "grow clip small foreign", "aria-live": "polite" });
  const about = h("div", { class: "about small foreign" });
  const more = h("span", { class: "more" });
  const save = h("a", { class: "icon-button", "aria-label": t("download"), title: t("download") }, icon("down"));
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
  /** @param {WordKey} key @param {import("./icons.js").IconName} sign @param {() => void} run */
  const button = (key, sign, run) =>
    h(
      "button",
      { class: "icon-button", type: "button", "aria-label": t(key), title: t(key), on: { click: run } },
      icon(sign),
    );
  const dialog = openDialog(
    title,
    (close) =>
      h(
        "div",
        {},
        stage,
        about,
        h(
          "div",
          { class: "under" },
          pictures.length > 1 && button("picture.previous", "left", () => show(at - 1)),
          pictures.length > 1 && button("picture.next", "right", () => show(at + 1)),
          name,
          more,
          save,
          button("close", "close", close),
        ),
      ),
    "lightbox",
  );
  dialog.addEventListener("keydown", (event) => {
    // Arrow keys in a focused video seek.
    if (event.target instanceof HTMLVideoElement) return;
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
