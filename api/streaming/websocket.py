"""Streams by WebSocket."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from starlette.types import Message, Receive, Send

from api.streaming.delivery import Frames, deliver
from api.streaming.frames import Frame
from api.streaming.models import MessageType
from api.streaming.permits import LastFrame
from api.util.envelope import encode_json

# RFC 6455, 7.4.1.
_NORMAL = 1000
_GOING_AWAY = 1001
_POLICY_VIOLATION = 1008


class _Gone(Exception):
    """The client has disconnected."""


async def send_texts(frames: Frames, receive: Receive, send: Send, last_frame: LastFrame | None = None) -> None:
    """Accept the client and send the texts until they end, or `last_frame` has a result.

    Raises TooSlow if the client does not read.
    """
    last_type: MessageType | None = None

    async def send_message(message: Message) -> None:
        try:
            await send(message)
        except (OSError, RuntimeError):
            # The client has left, or the protocol has closed the connection because of an invalid frame.
            raise _Gone from None

    async def send_frames(batch: Sequence[Frame]) -> None:
        nonlocal last_type
        for frame in batch:
            last_type = frame.type
            await send_message({"type": "websocket.send", "text": frame.text})

    async def beat() -> None:
        text = encode_json({"type": "heartbeat", "timestamp": datetime.now(UTC)}).decode()
        await send_message({"type": "websocket.send", "text": text})

    # The client may leave at any time, also before it is accepted.
    with suppress(_Gone):
        await receive()
        await send_message({"type": "websocket.accept"})
        if await deliver(frames, send_frames, beat, _until_gone(receive), last_frame):
            if last_frame is not None and last_frame.done():
                code = _POLICY_VIOLATION
            else:
                code = _GOING_AWAY if last_type is MessageType.CLOSING else _NORMAL
            await send_message({"type": "websocket.close", "code": code})


async def _until_gone(receive: Receive) -> None:
    """Wait until the client disconnects. Its messages are ignored."""
    while (await receive())["type"] != "websocket.disconnect":
        pass
