// Keyboard shortcuts: single keys, and sequences of two such as `g m`. Ignored while the user types in a field.

const PAIR_MS = 1200;

/** Handlers by key. @typedef {Record<string, (event: KeyboardEvent) => void>} Bindings */

export class Keys {
  /** @type {Map<string, (event: KeyboardEvent) => void>} */
  #bindings = new Map();
  /** @type {Map<string, (event: KeyboardEvent) => void>} */
  #screen = new Map();
  /** @type {string|null} */
  #first = null;
  #firstAt = 0;

  constructor() {
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  /** Adds shortcuts that work on every screen. @param {Bindings} bindings */
  bind(bindings) {
    this.#bindings = new Map(Object.entries(bindings));
  }

  /** Sets the shortcuts of the current screen, replacing those of the previous one. @param {Bindings} [bindings] */
  bindScreen(bindings) {
    this.#screen = new Map(Object.entries(bindings ?? {}));
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (isWriting(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const isPair = this.#first && performance.now() - this.#firstAt < PAIR_MS;
    const name = isPair ? `${this.#first} ${event.key}` : event.key;
    this.#first = null;
    const action = this.#screen.get(name) ?? this.#bindings.get(name);
    if (action) {
      event.preventDefault();
      action(event);
    } else if (event.key === "g") {
      this.#first = "g";
      this.#firstAt = performance.now();
    }
  }
}

/** @param {EventTarget|null} element @returns {element is HTMLElement} */
function isWriting(element) {
  return (
    element instanceof HTMLElement &&
    element.matches("input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select")
  );
}
