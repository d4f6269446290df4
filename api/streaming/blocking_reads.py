"""Runs reads that may block in threads, away from the event loop."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from api.util.deadlines import READ_SECONDS, hurrying

P = ParamSpec("P")
T = TypeVar("T")

#: How many reads run at the same time; a read takes about a millisecond.
THREADS = 4


class BlockingReads:
    """A few threads that read for all streams."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="live-read")

    async def read(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `question` returns or raises, called in a thread; it waits for the database as shortly as any reader."""

        def ask() -> T:
            # Whoever opens a stream would else wait for a database that does not answer, and keep a thread from others.
            with hurrying(READ_SECONDS):
                return question(*args, **kwargs)

        # It is still the same reader who asks.
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, ask)

    def stop(self) -> None:
        """Ends the threads without waiting for reads that are under way."""
        self._pool.shutdown(wait=False, cancel_futures=True)
