"""Streams that are loaded when the first subscriber asks for one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from api.streaming.addresses import Asked, Opener
from api.streaming.delivery import Frames


def opened_later(load: Callable[[], Opener]) -> Opener:
    """Makes the function that opens a stream by the one that `load` brings with the first request."""
    loaded: Opener | None = None

    @asynccontextmanager
    async def open_stream(asked: Asked) -> AsyncIterator[Frames]:
        nonlocal loaded
        if loaded is None:
            # In a thread: the other streams go on.
            loaded = await asyncio.to_thread(load)
        async with loaded(asked) as frames:
            yield frames

    return open_stream
