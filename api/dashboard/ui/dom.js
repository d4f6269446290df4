// DOM elements from code. Text is always text: markup is never parsed.

/**
 * Creates an element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties|null} [props] attributes; `on` holds listeners, `data` the data attributes; null, undefined and
 *   false omit an attribute, true sets it empty
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  const { on, data, ...attributes } = props ?? {};
  for (const [event, listener] of Object.entries(on ?? {})) {
    element.addEventListener(event, /** @type {EventListener} */ (listener));
  }
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** @param {Element} element @param {readonly Child[]} children */
function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Node) element.append(child);
    else if (typeof child === "object") append(element, child);
    else element.append(document.createTextNode(String(child)));
  }
}

/**
 * Replaces the children of an element.
 * @template {Element} E
 * @param {E} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  element.textContent = "";
  append(element, children);
  return element;
}

/**
 * Sets a text only if it differs, so that an unchanged page is not repainted.
 * @param {Element} element @param {string|number} text
 */
export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/**
 * Sets or removes an attribute, only if it differs.
 * @param {Element} element @param {string} name @param {Attribute} value
 */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

/**
 * A component of a model.
 * @template Model
 * @typedef {{element: HTMLElement, update: (model: Model) => void, close?: () => void}} Part
 */

/**
 * Updates the children of an element to match a list of models: each key has one component, created once, then updated.
 * @template Model
 * @template {Part<Model>} P
 * @template Key
 * @param {HTMLElement} parent
 * @param {Map<Key, P>} parts existing components by key
 * @param {Model[]} models
 * @param {(model: Model) => Key} keyOf
 * @param {(model: Model) => P} make
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
