"""Send the frames of a stream to one client, by either transport."""

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

#: Seconds between two heartbeats.
HEARTBEAT_SECONDS = 15.0

#: Seconds that one send may take before the subscriber is dropped.
SEND_SECONDS = 20.0

#: Seconds that the last frame to a slow subscriber may take before the connection is closed.
LAST_FRAME_SECONDS = 3.0

#: Seconds that the last frame may take if access has ended, since such a stream must end within a second.
ACCESS_ENDED_SECONDS = 0.25


async def deliver(
    frames: Frames,
    send: Send,
    beat: Callable[[], Awaitable[None]],
    until_gone: Coroutine[Any, Any, None],
    last_frame: asyncio.Future[Frame] | None = None,
) -> bool:
    """Send frames until they end or the client leaves. Return whether they ended.

    As soon as `last_frame` has a frame, that frame is sent and no other. Raises TooSlow if the client does not read.
    """
    turn = asyncio.Lock()
    sending = asyncio.create_task(_send_frames(frames, send, turn))
    beating = asyncio.create_task(_beat(beat, turn))
    leaving = asyncio.create_task(until_gone)
    tasks = (sending, beating, leaving)
    try:
        ends: list[asyncio.Future[Any]] = [*tasks, *([] if last_frame is None else [last_frame])]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, beating):
            if task.done():
                task.result()
        if last_frame is None or not last_frame.done() or leaving.done():
            return sending.done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with _within(ACCESS_ENDED_SECONDS):
        await send([last_frame.result()])
    return True


async def _send_frames(frames: Frames, send: Send, turn: asyncio.Lock) -> None:
    async with aclosing(frames):
        async for batch in frames:
            if not batch:
                continue
            is_last = batch[-1].type is MessageType.CLOSING
            async with turn, _within(LAST_FRAME_SECONDS if is_last else SEND_SECONDS):
                await send(batch)


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
