"""Slots for requests in Flask's threads, with a bounded queue. Requests beyond it are rejected with 503."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.errors import Unavailable
from api.web.unread_responses import PATIENCE_SECONDS

#: The most requests that wait for a slot. At about 500 requests a second per process, the last of them waits for half
#: a second; a longer queue would only delay all responses.
MAX_WAITING = 256


class WorkerSlots:
    """The slots of one server. Used from the event loop only."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._waiting = 0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it within the `async with` block. Raises Unavailable."""
        if self._waiting >= MAX_WAITING:
            raise Unavailable("The server is overloaded. Try again.", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), PATIENCE_SECONDS)
        except TimeoutError:
            raise Unavailable("The server is overloaded. Try again later.", headers={"Retry-After": "5"}) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
