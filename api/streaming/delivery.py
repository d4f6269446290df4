"""Carries the frames of a stream to one client, whatever the transport."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from api.streaming.frames import Frame
from api.streaming.models import MessageType
from api.streaming.subscription import TooSlow

#: The frames of one stream, in lists of all that are ready: sent together they cost little more than one.
Frames = AsyncGenerator[Sequence[Frame], None]

Send = Callable[[Sequence[Frame]], Awaitable[None]]

#: Seconds between two signs of life.
HEARTBEAT_SECONDS = 15.0

#: Seconds that one send may take before the subscriber counts as gone.
SEND_SECONDS = 20.0

#: Seconds that the farewell to a slow subscriber may take before the connection is cut.
FAREWELL_SECONDS = 3.0

#: Seconds that it may take to tell somebody who may not listen any more: all is over within a second.
LAST_WORD_SECONDS = 0.25


async def carry(
    frames: Frames,
    send: Send,
    beat: Callable[[], Awaitable[None]],
    leave: Coroutine[Any, Any, None],
    farewell: asyncio.Future[Frame] | None = None,
) -> bool:
    """Sends frames until they end or the client leaves; returns whether they ended. Raises TooSlow for one who does not
    read. As soon as `farewell` has a frame that one is sent, and no other.
    """
    turn = asyncio.Lock()
    carrying = asyncio.create_task(_carry(frames, send, turn))
    beating = asyncio.create_task(_beat(beat, turn))
    leaving = asyncio.create_task(leave)
    tasks = (carrying, beating, leaving)
    try:
        ends: list[asyncio.Future[Any]] = [*tasks, *([] if farewell is None else [farewell])]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (carrying, beating):
            if task.done():
                task.result()
        if farewell is None or not farewell.done() or leaving.done():
            return carrying.done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with _within(LAST_WORD_SECONDS):
        await send([farewell.result()])
    return True


async def _carry(frames: Frames, send: Send, turn: asyncio.Lock) -> None:
    async with aclosing(frames):
        async for some in frames:
            if not some:
                continue
            is_farewell = some[-1].type is MessageType.CLOSING
            async with turn, _within(FAREWELL_SECONDS if is_farewell else SEND_SECONDS):
                await send(some)


async def _beat(beat: Callable[[], Awaitable[None]], turn: asyncio.Lock) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        async with turn, _within(SEND_SECONDS):
            await beat()


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TooSlow from None
