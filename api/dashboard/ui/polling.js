// Polling while something is in progress.

/**
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(found: T) => boolean} show show shows the result; returns whether to continue
 * @param {number} pauseMs
 */
export function polling(ask, show, pauseMs) {
  let timer = 0;
  let isClosed = false;

  async function refetch() {
    clearTimeout(timer);
    const found = await ask();
    if (!isClosed && show(found)) wait();
  }
  // Keep polling if the service is away.
  const wait = () => {
    if (!isClosed) timer = setTimeout(() => refetch().catch(wait), pauseMs);
  };
  return {
    refetch,
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
