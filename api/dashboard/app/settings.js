// What this browser remembers of a person's choices.

/** The remembered value, or `otherwise`. @param {string} name @param {string} otherwise */
export function recall(name, otherwise) {
  try {
    return localStorage.getItem(name) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Remembers; a browser that refuses forgets with the tab. @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Private windows may refuse; the choice then holds until the tab is closed.
  }
}
