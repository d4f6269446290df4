// What is cut off can be reached by the keyboard: an area takes the focus while there is more in it than is shown.

import { setAttribute } from "./dom.js";

const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) look(target.closest("[data-scrolls]"));
});

/** @param {HTMLElement|null} area */
function look(area) {
  if (!area) return;
  const isCut = area.scrollHeight > area.clientHeight + 1 || area.scrollWidth > area.clientWidth + 1;
  setAttribute(area, "tabindex", isCut ? 0 : null);
}

/** @param {HTMLElement} area that scrolls @param {HTMLElement} [content] whose size tells when to look again */
export function scrollable(area, content = area) {
  area.dataset.scrolls = "";
  sized.observe(area);
  if (content !== area) sized.observe(content);
  return area;
}
