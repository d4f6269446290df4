// Style sheets that only some screens need.

/** @type {Map<string, Promise<void>>} */
const loaded = new Map();

/**
 * Loads one once, before the print styles. Throws if it is not available.
 * @param {"alerts"|"data"|"models"|"setup"|"task"} name
 */
export function loadStyleOnce(name) {
  const known = loaded.get(name) ?? load(name);
  loaded.set(name, known);
  known.catch(() => loaded.delete(name));
  return known;
}

/** Loads the styles of alerts; alerts are shown without them if that fails. */
export const loadAlertStyle = () => loadStyleOnce("alerts").catch(() => {});

/** @param {string} name @returns {Promise<void>} */
function load(name) {
  return new Promise((resolve, reject) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL(`../../css/${name}.css`, import.meta.url).href;
    link.addEventListener("load", () => resolve());
    link.addEventListener("error", () => {
      link.remove();
      reject(new Error(link.href));
    });
    const print = document.querySelector('link[href$="print.css"]');
    print ? print.before(link) : document.head.append(link);
  });
}
