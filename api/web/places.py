"""Places in Flask's threads: as many requests wait for one as can soon be answered; others are told to come again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.errors import Unavailable
from api.web.unread_answers import PATIENCE_SECONDS

#: Requests that may wait for a place at a time. At the 500 a second that one process answers from its database, the
#: last of them waits for half a second; a longer queue would only make everybody's answer late.
WAITING = 256


class Places:
    """The places of one server. Lives in the event loop."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._waiting = 0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Waits for a place, and holds it within the `async with` block. Raises Unavailable."""
        if self._waiting >= WAITING:
            raise Unavailable("More requests wait than can soon be answered.", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), PATIENCE_SECONDS)
        except TimeoutError:
            raise Unavailable("Too many requests wait for their turn.", headers={"Retry-After": "5"}) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
