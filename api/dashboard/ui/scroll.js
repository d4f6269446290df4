// Makes scrollable areas reachable by keyboard: an area is focusable while it overflows.

import { setAttribute } from "./dom.js";

const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) updateFocusable(target.closest("[data-scrolls]"));
});

/** @param {HTMLElement|null} area */
function updateFocusable(area) {
  if (!area) return;
  const isCut = area.scrollHeight > area.clientHeight + 1 || area.scrollWidth > area.clientWidth + 1;
  setAttribute(area, "tabindex", isCut ? 0 : null);
}

/** @param {HTMLElement} area that scrolls @param {HTMLElement} [content] whose size is observed */
export function scrollable(area, content = area) {
  area.dataset.scrolls = "";
  sized.observe(area);
  if (content !== area) sized.observe(content);
  return area;
}
