// What is asked for again and again while something goes on.

/**
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(found: T) => boolean} show shows it; returns whether something goes on
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
  // A service that is away is asked again.
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
