// Elements from code. Text is always text: nothing here, and nothing that uses it, parses markup.

/**
 * Makes an element.
 * @param {string} tag
 * @param {Record<string, any>|null} [props] attributes; `on` holds listeners, `data` the data attributes; null,
 *   undefined and false leave an attribute out, true sets it empty
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.textContent = "";
  append(element, children);
  return element;
}

/** Sets a text only when it differs: a page that changes nothing is not painted. */
export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Sets or removes an attribute, only when it differs. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/** @typedef {{element: HTMLElement, update: (model: any) => void, close?: () => void}} Part */

/**
 * Brings the children of an element to a list of models: each key has one component, which is made once, then updated.
 * @param {HTMLElement} parent
 * @param {Map<any, Part>} parts what is there, by key
 * @param {any[]} models
 * @param {(model: any) => any} keyOf
 * @param {(model: any) => Part} make
 */
export function reconcile(parent, parts, models, keyOf, make) {
  const wanted = new Set(models.map(keyOf));
  for (const [key, part] of parts) {
    if (wanted.has(key)) continue;
    part.close?.();
    part.element.remove();
    parts.delete(key);
  }
  let place = parent.firstElementChild;
  for (const model of models) {
    const part = parts.get(keyOf(model)) ?? make(model);
    parts.set(keyOf(model), part);
    part.update(model);
    if (part.element === place) place = place.nextElementSibling;
    else parent.insertBefore(part.element, place);
  }
}
