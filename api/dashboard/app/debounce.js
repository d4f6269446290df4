// Debounced work.

/**
 * Runs `run` once after the pause, however often it is called in between; `cancel` drops a pending run.
 * @param {() => void} run
 * @param {number} pauseMs
 */
export function soon(run, pauseMs) {
  /** @type {number|undefined} */
  let timer;
  const schedule = () => {
    timer ||= setTimeout(() => {
      timer = undefined;
      run();
    }, pauseMs);
  };
  schedule.cancel = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  return schedule;
}
