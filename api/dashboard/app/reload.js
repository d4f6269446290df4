// Loading the page anew when its service has another version of it; never twice in a row for the same.

const NAME = "reloaded";

/** Reloads, unless this version of the page has come by a reload already. @returns {boolean} whether it does */
export function reloadOnce() {
  try {
    if (sessionStorage.getItem(NAME) === import.meta.url) return false;
    sessionStorage.setItem(NAME, import.meta.url);
  } catch {
    // A browser that keeps nothing could reload for ever.
    return false;
  }
  location.reload();
  return true;
}

/** Everything could be loaded. */
export function forgetReload() {
  try {
    sessionStorage.removeItem(NAME);
  } catch {
    // Nothing was kept.
  }
}
