// Paper is white: while the page is printed it wears its light colours, and charts are drawn in them.

const paper = matchMedia("print");
/** @type {string|null} */
let before = null;

function dress() {
  const root = document.documentElement;
  if (paper.matches && before === null) {
    before = root.dataset.theme ?? "dark";
    root.dataset.theme = "light";
  } else if (!paper.matches && before !== null) {
    root.dataset.theme = before;
    before = null;
  } else return;
  dispatchEvent(new Event("themechange"));
}

/** Listens for the printer from now on. */
export function printInLight() {
  paper.addEventListener("change", dress);
}
