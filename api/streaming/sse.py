"""Streams as Server-Sent Events."""

from starlette.types import Receive, Send

from api.streaming.delivery import Frames, carry
from api.streaming.permits import Farewell

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx would collect events until its buffer is full.
    (b"x-accel-buffering", b"no"),
)

#: The headers of a stream. Its connection is not kept: a client that comes back makes a new one.
_CLOSE = (b"connection", b"close")

_HEARTBEAT = b": heartbeat\n\n"


async def send_events(
    frames: Frames, receive: Receive, send: Send, farewell: Farewell | None = None, *, is_head: bool
) -> None:
    """Answers with the events, until `farewell` has a last one. Raises TooSlow when the client does not read."""
    headers = list(_HEADERS) if is_head else [*_HEADERS, _CLOSE]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if not is_head:
        has_ended = await carry(
            frames,
            lambda some: _send_part(send, b"".join([frame.event for frame in some])),
            lambda: _send_part(send, _HEARTBEAT),
            _until_gone(receive),
            farewell,
        )
        if not has_ended:
            return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
