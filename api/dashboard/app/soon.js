// Work that is asked for more often than it is worth doing.

/**
 * Runs after the pause, once for all who ask meanwhile; `cancel` forgets it.
 * @param {() => void} run
 * @param {number} pauseMs
 */
export function soon(run, pauseMs) {
  /** @type {number|undefined} */
  let timer;
  const ask = () => {
    timer ||= setTimeout(() => {
      timer = undefined;
      run();
    }, pauseMs);
  };
  ask.cancel = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  return ask;
}
