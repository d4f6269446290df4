// DOM elements from code. Text is always text: markup is never parsed.

/**
 * Creates an element.
 * @template {ElementSelector} Selector
 * @param {Selector} selector a tag with classes, such as `div.panel.wide`
 * @param {Properties|Child} [first] attributes, if it is an object: `on` holds listeners, `data` the data attributes; null,
 *   undefined and false omit an attribute, true sets it empty. Otherwise the first child
 * @param {...Child} children
 * @returns {ElementOf<Selector>}
 */
export function h(selector, first, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(" ");
  if (isProperties(first)) setProperties(element, first);
  else append(element, [first]);
  append(element, children);
  return /** @type {ElementOf<Selector>} */ (element);
}

/** @param {Properties|Child} value @returns {value is Properties} */
const isProperties = (value) =>
  typeof value === "object" && value !== null && !(value instanceof Node) && !Array.isArray(value);

/** @param {HTMLElement} element @param {Properties} properties */
function setProperties(element, { on, data, ...attributes }) {
  for (const [event, listener] of Object.entries(on ?? {})) {
    element.addEventListener(event, /** @type {EventListener} */ (listener));
  }
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
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
 * Replaces the children of an element. The focus stays on the control of the same name, or on the one in its place.
 * @template {Element} E
 * @param {E} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  const focused = document.activeElement;
  const isInside = focused && focused !== element && focused !== document.body && element.contains(focused);
  const before = isInside ? controlsIn(element) : [];
  element.textContent = "";
  append(element, children);
  if (isInside) focusAgain(element, before, focused);
  return element;
}

/** @param {Element} element @returns {HTMLElement[]} */
const controlsIn = (element) => [
  ...element.querySelectorAll(/** @type {"input"} */ ("a[href], button, input, select, textarea, summary, [tabindex]")),
];

/** @param {Element} control */
const nameOf = (control) => `${control.id} ${control.getAttribute("aria-label") ?? control.textContent}`;

/** @param {Element} element @param {Element[]} before the controls that were there @param {Element} focused one of them */
function focusAgain(element, before, focused) {
  const after = controlsIn(element);
  const at = before.indexOf(focused);
  const name = nameOf(focused);
  const same = after.filter((control) => nameOf(control) === name);
  const earlier = before.slice(0, at).filter((control) => nameOf(control) === name).length;
  const next = same[Math.min(earlier, same.length - 1)] ?? after[Math.min(at, after.length - 1)];
  // A second press of the key must not delete anything.
  if (next && (same.length > 0 || !next.matches(".danger"))) next.focus({ preventScroll: true });
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

/**
 * Makes a whole row open its link, except what has an action of its own, and while text is selected.
 * @param {HTMLElement} row @param {HTMLElement} link @param {string} [others] selectors of elements with their own action
 */
export function openByRow(row, link, others = "a, button") {
  row.addEventListener("click", (event) => {
    if (event.target instanceof Element && !event.target.closest(others) && !String(getSelection())) link.click();
  });
}
