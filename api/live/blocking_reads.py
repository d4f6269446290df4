"""Reads what may block, away from the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Reads at the same time; a read takes about a millisecond.
THREADS = 4


class ReadingThreads:
    """A few threads for all streams."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="live-read")

    async def read(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer, or what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: question(*args, **kwargs))

    def stop(self) -> None:
        """Waits for no one."""
        self._pool.shutdown(wait=False, cancel_futures=True)
