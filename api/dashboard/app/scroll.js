// Scroll positions: a new screen starts at its top, Back and Forward return to the former position.

/** How long content may grow after the data of a screen has arrived. */
const ARRIVAL_MS = 3000;

/** Actions of the user that end a restoration. */
const MOVES = ["wheel", "touchmove", "keydown", "pointerdown"];

/** @type {Map<number, number>} */
const positions = new Map();
let shown = entry();
/** The position that the current restoration has not reached yet. @type {number|null} */
let missed = null;
/** Ends the current restoration. */
let settle = () => {};
let timer = 0;

history.scrollRestoration = "manual";

/** The number of the current entry of the history; a new one gets its number here. @returns {number} */
function entry() {
  const known = history.state?.entry;
  if (known) return known;
  const number = performance.timeOrigin + performance.now();
  history.replaceState({ entry: number }, "");
  return number;
}

/** Stores the position of the screen that is left. Called before its content is removed. */
export function leaveScroll() {
  positions.set(shown, missed ?? scrollY);
  settle();
}

/** The data of the screen has arrived: a restoration ends soon. */
export function scrollArrived() {
  if (missed !== null) timer ||= setTimeout(() => settle(), ARRIVAL_MS);
}

/**
 * Scrolls to the former position of the entry, or to the top.
 * @param {HTMLElement} content whose height may still grow
 */
export function enterScroll(content) {
  settle();
  shown = entry();
  const top = positions.get(shown) ?? 0;
  missed = top;
  const move = () => {
    scrollTo(0, top);
    if (Math.abs(scrollY - top) < 2) settle();
  };
  const growing = new ResizeObserver(move);
  settle = () => {
    missed = null;
    growing.disconnect();
    clearTimeout(timer);
    timer = 0;
    for (const name of MOVES) removeEventListener(name, settle, true);
  };
  for (const name of MOVES) addEventListener(name, settle, { capture: true, passive: true });
  growing.observe(content);
  move();
}
