// Work that is asked for more often than it is worth doing.

/**
 * Runs after the pause, once for all who ask meanwhile; `cancel` forgets it.
 * @param {() => void} run
 * @param {number} pauseMs
 */
export function soon(run, pauseMs) {
  let timer = 0;
  const ask = () => {
    timer ||= setTimeout(() => {
      timer = 0;
      run();
    }, pauseMs);
  };
  ask.cancel = () => {
    clearTimeout(timer);
    timer = 0;
  };
  return ask;
}
