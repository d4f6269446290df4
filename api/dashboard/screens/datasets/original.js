// The file of an item, with its trained part marked.

import { itemURL } from "../../app/api_data.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { icon } from "../../ui/icons.js";
import { hasThumbnail } from "./tile.js";

/** Formats that browsers can show; others are shown as thumbnail. */
const DRAWN = ["png", "jpeg", "jpg", "webp", "gif", "bmp", "avif"];
const MAX_BYTES = 30 * 1024 ** 2;

/** @param {string} name of the dataset */
export function originalView(name) {
  const crop = h("i.crop-box", { hidden: true });
  const place = h("div.original-picture");
  /** @type {API.Item|null} */
  let shown = null;

  /** @param {API.Item} item @param {API.Query} version */
  function picture(item, version) {
    const small = itemURL(name, item.item_id, "thumbnail", { ...version, size: 512 });
    const isDrawn = DRAWN.includes(item.format ?? "") && item.size_bytes < MAX_BYTES;
    const image = h("img", { alt: item.name, src: isDrawn ? itemURL(name, item.item_id, "media", version) : small });
    if (isDrawn) image.addEventListener("error", () => (image.src = small), { once: true });
    return image;
  }

  /** @param {API.Item} item @param {API.Query} version */
  function video(item, version) {
    const element = h("video", {
      src: itemURL(name, item.item_id, "media", version),
      poster: itemURL(name, item.item_id, "thumbnail", { ...version, size: 512 }),
      controls: true,
      muted: true,
      loop: true,
      preload: "metadata",
      "aria-label": item.name,
    });
    // The browser does not support the codec: show the first frame.
    element.addEventListener("error", () => element.replaceWith(picture({ ...item, format: null }, version)), {
      once: true,
    });
    return element;
  }

  return {
    element: place,
    /** @param {API.Item} item @param {number|null} version null: the newest */
    show(item, version) {
      if (shown?.sha256 === item.sha256 && shown.item_id === item.item_id) return;
      shown = item;
      crop.hidden = true;
      place.style.setProperty("--ratio", String((item.width ?? 1) / (item.height ?? 1)));
      place.classList.toggle("sized", Boolean(item.width && item.height));
      const none = h("div.empty", icon("warn"), h("p.foreign", item.problem_text ?? t("original.none")));
      const what = !hasThumbnail(item)
        ? none
        : item.kind === "video"
          ? video(item, { version })
          : picture(item, { version });
      fill(place, what, crop);
    },
    /** @param {API.Recipe|null} recipe */
    mark(recipe) {
      const [width, height] = [shown?.width, shown?.height];
      crop.hidden = !recipe || !width || !height;
      if (!recipe || !width || !height) return;
      const [left, top, right, bottom] = recipe.box;
      crop.style.left = `${(100 * left) / width}%`;
      crop.style.top = `${(100 * top) / height}%`;
      crop.style.width = `${(100 * (right - left)) / width}%`;
      crop.style.height = `${(100 * (bottom - top)) / height}%`;
    },
  };
}
