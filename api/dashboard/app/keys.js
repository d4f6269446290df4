// The keyboard: single keys, and two in a row such as `g m`. Whoever writes into a field is left alone.

const PAIR_MS = 1200;

/** What keys do, by their names. @typedef {Record<string, (event: KeyboardEvent) => void>} Bindings */

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

  /** Keys that work everywhere. @param {Bindings} bindings */
  bind(bindings) {
    this.#bindings = new Map(Object.entries(bindings));
  }

  /** Keys of the present screen, instead of those of the last. @param {Bindings} [bindings] */
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
