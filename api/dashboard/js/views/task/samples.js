// The pictures that a training drew, newest first; one at a time in large.

import { artifactURL } from "../../api.js";
import { openDialog } from "../../components/dialog.js";
import { fill, h } from "../../dom.js";
import { t } from "../../i18n.js";
import { icon } from "../../icons.js";

const PICTURES = /\.(png|jpe?g|webp|gif|avif|bmp)$/i;
const MOST = 200;

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
      .slice(0, MOST);
    // A picture that is written anew has another time, and so another address.
    const urls = pictures.map((each) => `${artifactURL(taskId, each.path)}?v=${Date.parse(each.modified_at)}`);
    if (urls.join() === drawn) return;
    drawn = urls.join();
    element.hidden = pictures.length === 0;
    fill(
      grid,
      pictures.map(({ path }, i) => {
        const name = path.split("/").at(-1);
        return h(
          "button",
          { class: "sample", title: path, on: { click: () => openLightbox(pictures, urls, i) } },
          h("img", { src: urls[i], alt: "", loading: "lazy", decoding: "async" }),
          h("span", { class: "clip tiny soft foreign" }, name),
        );
      }),
    );
  }
  return { element, update };
}

/** @param {API.Artifact[]} pictures @param {string[]} urls @param {number} first */
function openLightbox(pictures, urls, first) {
  let at = first;
  const image = h("img", { alt: "" });
  const name = h("span", { class: "grow clip small foreign" });
  const save = h("a", { class: "icon-button", "aria-label": t("download"), title: t("download") }, icon("down"));
  const show = (/** @type {number} */ index) => {
    at = (index + pictures.length) % pictures.length;
    const file = pictures[at].path.replace(/^.*\//, "");
    image.src = urls[at];
    image.alt = file;
    name.textContent = `${file} · ${at + 1} / ${pictures.length}`;
    save.href = urls[at];
    save.download = file;
  };
  /** @param {WordKey} key @param {import("../../icons.js").IconName} sign @param {() => void} run */
  const button = (key, sign, run) =>
    h("button", { class: "icon-button", "aria-label": t(key), title: t(key), on: { click: run } }, icon(sign));
  const dialog = openDialog(
    t("samples"),
    (close) =>
      h(
        "div",
        {},
        image,
        h(
          "div",
          { class: "under" },
          button("picture.back", "left", () => show(at - 1)),
          button("picture.on", "right", () => show(at + 1)),
          name,
          save,
          button("close", "close", close),
        ),
      ),
    "lightbox",
  );
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(at - 1);
    if (event.key === "ArrowRight") show(at + 1);
  });
  show(first);
}
