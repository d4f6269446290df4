"""Streams over a WebSocket."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from starlette.types import Message, Receive, Send

from api.streaming.delivery import Frames, carry
from api.streaming.frames import Frame
from api.streaming.models import MessageType
from api.streaming.permits import Farewell
from api.util.envelope import encode_json

# RFC 6455, 7.4.1.
_NORMAL = 1000
_GOING_AWAY = 1001
_POLICY_VIOLATION = 1008


class _Gone(Exception):
    """The client has left."""


async def send_texts(frames: Frames, receive: Receive, send: Send, farewell: Farewell | None = None) -> None:
    """Lets the client in and sends it the texts, until `farewell` has a last one. Raises TooSlow when it does not
    read.
    """
    last: MessageType | None = None

    async def say(message: Message) -> None:
        try:
            await send(message)
        except (OSError, RuntimeError):
            # It has left, or the protocol has closed it because it sent what is no frame.
            raise _Gone from None

    async def send_some(some: Sequence[Frame]) -> None:
        nonlocal last
        for frame in some:
            last = frame.type
            await say({"type": "websocket.send", "text": frame.text})

    async def beat() -> None:
        text = encode_json({"type": "heartbeat", "timestamp": datetime.now(UTC)}).decode()
        await say({"type": "websocket.send", "text": text})

    # A client may be gone at any point, also before it is told that it is let in.
    with suppress(_Gone):
        await receive()
        await say({"type": "websocket.accept"})
        if await carry(frames, send_some, beat, _until_gone(receive), farewell):
            if farewell is not None and farewell.done():
                code = _POLICY_VIOLATION
            else:
                code = _GOING_AWAY if last is MessageType.CLOSING else _NORMAL
            await say({"type": "websocket.close", "code": code})


async def _until_gone(receive: Receive) -> None:
    """Waits until the client leaves; what it says is ignored."""
    while (await receive())["type"] != "websocket.disconnect":
        pass
