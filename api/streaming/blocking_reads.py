"""Run blocking reads in threads, outside of the event loop."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from api.util.deadlines import READ_SECONDS, wait_limit

P = ParamSpec("P")
T = TypeVar("T")

#: Number of concurrent reads; one takes about a millisecond.
THREADS = 4


class BlockingReads:
    """A few threads that read for all streams."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="live-read")

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in a thread, with the time limit of other readers.

        Return what it returns; raise what it raises.
        """

        def call() -> T:
            # Without the limit, new streams would occupy the threads while the database does not respond.
            with wait_limit(READ_SECONDS):
                return function(*args, **kwargs)

        # The thread acts for the same principal.
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, call)

    def stop(self) -> None:
        """Stop the threads without waiting for reads in progress."""
        self._pool.shutdown(wait=False, cancel_futures=True)
