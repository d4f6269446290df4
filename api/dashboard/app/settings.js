// Choices of the user that this browser stores.

/** The stored value, or `otherwise`. @param {string} name @param {string} otherwise */
export function recall(name, otherwise) {
  try {
    return localStorage.getItem(name) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Stores a value; if the browser refuses, it is lost with the tab. @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Private windows may refuse; the choice then lasts until the tab is closed.
  }
}
