"""Streams by Server-Sent Events."""

from starlette.types import Receive, Send

from api.streaming.delivery import Frames, deliver
from api.streaming.permits import LastFrame

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx would otherwise buffer events.
    (b"x-accel-buffering", b"no"),
)

#: The connection of a stream is not reused: a client that reconnects opens a new one.
_CLOSE = (b"connection", b"close")

_HEARTBEAT = b": heartbeat\n\n"


async def send_events(
    frames: Frames, receive: Receive, send: Send, last_frame: LastFrame | None = None, *, is_head: bool
) -> None:
    """Respond with the events until they end, or `last_frame` has a result.

    Raises TooSlow if the client does not read.
    """
    headers = list(_HEADERS) if is_head else [*_HEADERS, _CLOSE]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if not is_head:
        has_ended = await deliver(
            frames,
            lambda batch: _send_part(send, b"".join([frame.event for frame in batch])),
            lambda: _send_part(send, _HEARTBEAT),
            _until_gone(receive),
            last_frame,
        )
        if not has_ended:
            return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_part(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
