// What this browser remembers of a person's choices.

/** The remembered value, or `otherwise`. */
export function recall(name, otherwise) {
  try {
    return localStorage.getItem(name) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Remembers; a browser that refuses forgets with the tab. */
export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Private windows may refuse; the choice then holds until the tab is closed.
  }
}
