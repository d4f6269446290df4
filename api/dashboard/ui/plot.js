// uPlot and its style sheet: loaded when a chart is drawn first.

import { h } from "./dom.js";

// The page names the style sheet where uPlot could be fetched at install time.
const style = /** @type {HTMLMetaElement|null} */ (document.querySelector("meta[name=charts]"))?.content;

/** Whether charts can be drawn; where not, there are tables. */
export const canPlot = Boolean(style);

/** @type {Promise<typeof import("uplot")>|null} */
let loading = null;

/** uPlot's constructor. What failed is tried again by the next call. */
export function loadPlot() {
  loading ??= Promise.all([import("../vendor/uPlot.js"), loadStyle()]).then(
    ([{ default: uPlot }]) => uPlot,
    (error) => {
      loading = null;
      throw error;
    },
  );
  return loading;
}

function loadStyle() {
  return new Promise((resolve, reject) => {
    const link = h("link", { rel: "stylesheet", href: style, on: { load: resolve, error: reject } });
    link.addEventListener("error", () => link.remove());
    document.head.append(link);
  });
}
