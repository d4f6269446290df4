// Styles that only some screens need.

/** @type {Map<string, Promise<void>>} */
const learnt = new Map();

/** Loads one once, before those of print. Throws when it cannot be had. @param {"alerts"|"data"|"log"|"models"} name */
export function learnStyle(name) {
  const known = learnt.get(name) ?? load(name);
  learnt.set(name, known);
  known.catch(() => learnt.delete(name));
  return known;
}

/** Loads the styles of alerts; without them alerts are still shown. */
export const learnAlertStyle = () => learnStyle("alerts").catch(() => {});

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
