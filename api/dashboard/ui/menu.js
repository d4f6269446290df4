// A menu behind a button.

import { t } from "../app/i18n.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * `denied` is why it is not allowed; clicking then shows it.
 * @typedef {{label: string, icon: import("./icons.js").IconName, run: () => void, danger?: boolean, denied?: string|null}} Choice
 */

/** @param {string} label @param {() => Choice[]} choices called when it opens */
export function menuButton(label, choices) {
  const button = h(
    "button.button.small.more",
    { "aria-haspopup": "menu", "aria-label": label },
    t("actions"),
    icon("chevron"),
  );
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    event.preventDefault();
    openMenu(button, choices());
  });
  return button;
}

/**
 * Opens a menu below a button.
 * @param {HTMLElement} button @param {Choice[]} choices @param {HTMLElement} [head] content above the choices
 */
export function openMenu(button, choices, head) {
  const close = () => {
    menu.remove();
    removeEventListener("scroll", close, true);
    removeEventListener("hashchange", close);
    document.removeEventListener("pointerdown", leave, true);
  };
  const leave = (/** @type {PointerEvent} */ { target }) =>
    (target instanceof Node && menu.contains(target)) || close();
  const items = choices.map((choice) => {
    const run = () => {
      close();
      button.focus({ preventScroll: true });
      choice.run();
    };
    return h(
      "button",
      {
        role: "menuitem",
        class: choice.danger ? "danger" : "",
        "aria-disabled": choice.denied ? "true" : null,
        title: choice.denied,
        on: { click: run },
      },
      icon(choice.icon),
      choice.label,
    );
  });
  const list = h("div", { role: "menu" }, items);
  const menu = h(
    "div.menu",
    { role: head && "dialog", "aria-label": head && button.getAttribute("aria-label") },
    head,
    list,
  );
  menu.addEventListener("keydown", (event) => {
    const at = items.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) items[(at + step + items.length) % items.length].focus();
    else if (event.key === "Escape" || event.key === "Tab") {
      close();
      button.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(menu);
  const at = button.getBoundingClientRect();
  const up = at.bottom + menu.offsetHeight + 8 > innerHeight && at.top > menu.offsetHeight;
  menu.style.top = `${(up ? at.top - menu.offsetHeight - 4 : at.bottom + 4) + scrollY}px`;
  menu.style.left = `${Math.max(8, at.right - menu.offsetWidth) + scrollX}px`;
  items[0]?.focus();
  addEventListener("scroll", close, true);
  addEventListener("hashchange", close);
  document.addEventListener("pointerdown", leave, true);
}
