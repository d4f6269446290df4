"""Streams over a WebSocket."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.live.delivery import Frames, carry
from api.live.frames import Frame
from api.live.permits import Farewell
from api.models.live import MessageType
from api.utils.envelope import encode_json

# RFC 6455, 7.4.1.
_NORMAL = 1000
_GOING_AWAY = 1001
_POLICY_VIOLATION = 1008


async def send_texts(
    frames: Frames, scope: Scope, receive: Receive, send: Send, farewell: Farewell | None = None
) -> None:
    """Lets the client in and sends it the texts, until `farewell` has a last one. Raises TooSlow when it does not
    read.
    """
    socket = WebSocket(scope, receive, send)
    last: MessageType | None = None

    async def send_some(some: Sequence[Frame]) -> None:
        nonlocal last
        for frame in some:
            last = frame.type
            await _say(socket, frame.text)

    async def beat() -> None:
        await _say(socket, encode_json({"type": "heartbeat", "timestamp": datetime.now(UTC)}).decode())

    # A client may be gone at any point, also before it is told that it is let in.
    with suppress(WebSocketDisconnect):
        await socket.accept()
        if await carry(frames, send_some, beat, _until_gone(socket), farewell):
            if farewell is not None and farewell.done():
                await socket.close(_POLICY_VIOLATION)
            else:
                await socket.close(_GOING_AWAY if last is MessageType.CLOSING else _NORMAL)


async def _say(socket: WebSocket, text: str) -> None:
    try:
        await socket.send_text(text)
    except RuntimeError:
        # The protocol has closed it, because the client sent what is no frame.
        raise WebSocketDisconnect from None


async def _until_gone(socket: WebSocket) -> None:
    """Waits until the client leaves; what it says is ignored."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
