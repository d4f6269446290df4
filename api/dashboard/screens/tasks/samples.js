// Sample images of a training, newest first, with a lightbox.

import { artifactURL } from "../../app/api.js";
import { t } from "../../app/i18n.js";
import { fill, h } from "../../ui/dom.js";
import { openLightbox } from "../../ui/lightbox.js";

const PICTURES = /\.(png|jpe?g|webp|gif|avif|bmp)$/i;
const MAX_COUNT = 200;

/** @param {string} taskId */
export function samplesView(taskId) {
  const grid = h("div", { class: "samples" });
  const element = h(
    "section",
    { class: "panel samples-panel", "aria-label": t("samples"), hidden: true },
    h("header", {}, h("h2", {}, t("samples"))),
    h("div", { class: "body" }, grid),
  );
  let drawn = "";

  /** @param {API.Artifact[]} artifacts */
  function update(artifacts) {
    const pictures = artifacts
      .filter(({ kind, path }) => kind === "sample" && PICTURES.test(path))
      .sort((a, b) => b.modified_at.localeCompare(a.modified_at))
      .slice(0, MAX_COUNT);
    // A rewritten image gets another URL by its time.
    const urls = pictures.map((each) => `${artifactURL(taskId, each.path)}?v=${Date.parse(each.modified_at)}`);
    if (urls.join() === drawn) return;
    drawn = urls.join();
    element.hidden = pictures.length === 0;
    const shown = pictures.map(({ path }, i) => {
      const file = path.replace(/^.*\//, "");
      return { url: urls[i], file, alt: file };
    });
    fill(
      grid,
      shown.map(({ url, file }, i) =>
        h(
          "button",
          { class: "sample", title: pictures[i].path, on: { click: () => openLightbox(t("samples"), shown, i) } },
          h("img", { src: url, alt: "", loading: "lazy", decoding: "async" }),
          h("span", { class: "clip tiny soft foreign" }, file),
        ),
      ),
    );
  }
  return { element, update };
}
