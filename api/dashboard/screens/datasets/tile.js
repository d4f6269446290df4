// The tile of an item in the grid.

import { itemURL } from "../../app/api_data.js";
import { labelFor, t } from "../../app/i18n.js";
import { fill, h, setAttribute, setText } from "../../ui/dom.js";
import { duration } from "../../ui/format.js";
import { icon } from "../../ui/icons.js";

/** Problems that make a thumbnail impossible. */
const WITHOUT_THUMBNAIL = ["unreadable", "media_bomb", "not_media"];
/** Delay before a thumbnail is loaded, so that fast scrolling loads none. */
const PICTURE_PAUSE_MS = 90;
/** Retry delays: the service may be busy with other thumbnails. */
const RETRY_MS = [1500, 5000, 15_000];

/** Whether the service can create a thumbnail. @param {API.Item} item */
export const hasThumbnail = ({ problems }) => !problems.some((problem) => WITHOUT_THUMBNAIL.includes(problem));

/** @param {string} dataset @param {number} index @param {() => number|null} version the version shown, if it is not the newest */
export function tile(dataset, index, version) {
  const image = h("img", { alt: "", decoding: "async", draggable: "false" });
  const none = h("span.tile-none", icon("square"));
  const badges = h("span.tile-badges");
  const caption = h("p.tile-caption.small.foreign");
  const name = h("p.tile-name.tiny.faint.clip.foreign");
  const element = h(
    "div.tile",
    { role: "gridcell", id: `item-${index}`, "aria-selected": "false", data: { index: String(index) } },
    h("span.tile-picture", none, image, badges, h("span.tile-mark", icon("check"))),
    h("div.tile-text", caption, name),
  );
  /** @type {API.Item|undefined} */
  let item;
  let drawn = "";
  let tries = 0;
  /** @type {number|undefined} */
  let timer;
  image.addEventListener("load", () => element.classList.add("seen"));
  image.addEventListener("error", () => {
    element.classList.remove("seen");
    if (image.hasAttribute("src") && tries < RETRY_MS.length) timer = setTimeout(() => draw(), RETRY_MS[tries++]);
  });

  function draw() {
    if (item) image.src = itemURL(dataset, item.item_id, "thumbnail", { size: 256, version: version() });
  }

  /** @param {API.Item} next */
  function picture(next) {
    if (drawn === next.sha256) return;
    drawn = next.sha256;
    tries = 0;
    clearTimeout(timer);
    image.removeAttribute("src");
    element.classList.remove("seen");
    none.replaceChildren(icon(next.kind === "video" ? "film" : hasThumbnail(next) ? "square" : "warn"));
    if (hasThumbnail(next)) timer = setTimeout(draw, PICTURE_PAUSE_MS);
  }

  return {
    element,
    caption,
    get item() {
      return item;
    },
    /** @param {API.Item|undefined} next undefined: not loaded yet @param {{isActive: boolean, isChosen: boolean}} state */
    update(next, { isActive, isChosen }) {
      element.classList.toggle("active", isActive);
      setAttribute(element, "aria-selected", String(isChosen));
      if (!next || item === next) return;
      item = next;
      element.classList.toggle("excluded", next.excluded);
      picture(next);
      setText(name, next.name);
      setAttribute(name, "title", next.name);
      setText(caption, next.caption || t(next.caption === null ? "caption.none" : "problem.empty_caption"));
      caption.classList.toggle("faint", !next.caption);
      fill(badges, badgesOf(next));
    },
    close() {
      clearTimeout(timer);
      // Cancel a thumbnail that is no longer needed.
      image.removeAttribute("src");
    },
  };
}

/** @param {API.Item} item @returns {Child[]} */
function badgesOf({ kind, duration: seconds, problems, has_mask: hasMask, has_control: hasControl, excluded }) {
  return [
    excluded && h("span.badge", { data: { tone: "idle" } }, t("items.excluded")),
    problems.length > 0 &&
      h("span.badge", { data: { tone: "warn" }, title: problems.map(problemLabel).join("\n") }, [
        icon("warn"),
        h("span.visually-hidden", problems.map(problemLabel).join(", ")),
        problems.length > 1 ? String(problems.length) : null,
      ]),
    kind === "video" && h("span.badge", icon("film"), seconds === null ? null : duration(seconds)),
    hasMask && h("span.badge", t("item.mask")),
    hasControl && h("span.badge", t("item.control")),
  ];
}

/** @param {string} problem */
export const problemLabel = (problem) => labelFor("problem", problem);
