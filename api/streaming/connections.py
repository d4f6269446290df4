"""Serve live streams by SSE and WebSocket: admit clients, open streams, send, and disconnect slow clients."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from starlette.types import Message, Receive, Scope, Send

from api.domain.access.principal import current_principal
from api.errors import TooManyStreams
from api.streaming.addresses import LiveRoutes, MatchedRoute, Transport
from api.streaming.broker import Broker
from api.streaming.delivery import LAST_FRAME_SECONDS, Frames, deliver
from api.streaming.frames import Frame
from api.streaming.models import MessageType
from api.streaming.permits import LastFrame, Permits
from api.streaming.subscription import TooSlow
from api.util.http.caller import address_of_caller
from api.util.http.envelope import encode_json

# RFC 6455, 7.4.1.
_NORMAL = 1000
_GOING_AWAY = 1001
_POLICY_VIOLATION = 1008

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx would otherwise buffer events.
    (b"x-accel-buffering", b"no"),
)

#: The connection of a stream is not reused: a client that reconnects opens a new one.
_CLOSE = (b"connection", b"close")

_HEARTBEAT = b": heartbeat\n\n"

logger = logging.getLogger(__name__)

#: Longest valid Last-Event-ID.
_LONGEST_ID = 200
_RETRY_AFTER = {"Retry-After": "10"}


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
        if await deliver(frames, send_frames, beat, _until_closed(receive), last_frame):
            if last_frame is not None and last_frame.done():
                code = _POLICY_VIOLATION
            else:
                code = _GOING_AWAY if last_type is MessageType.CLOSING else _NORMAL
            await send_message({"type": "websocket.close", "code": code})


async def _until_closed(receive: Receive) -> None:
    """Wait until the client disconnects. Its messages are ignored."""
    while (await receive())["type"] != "websocket.disconnect":
        pass


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


class Admission:
    """Counts the open streams by client. Lives in the event loop."""

    def __init__(self, limit: int, limit_per_client: int) -> None:
        self._limit = limit
        self._limit_per_client = limit_per_client
        self._open: Counter[str | None] = Counter()
        self.refused = 0

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return self._open.total()

    @contextmanager
    def admit(self, client: str | None) -> Iterator[None]:
        """Count a stream of this client within the `with` block. Raises TooManyStreams."""
        if self.streams >= self._limit:
            self.refused += 1
            raise TooManyStreams(
                f"There are already {self._limit:,} live streams. Try again later.", headers=_RETRY_AFTER
            )
        if self._open[client] >= self._limit_per_client:
            self.refused += 1
            message = f"This client already has {self._limit_per_client:,} live streams. Close one of them."
            raise TooManyStreams(message, headers=_RETRY_AFTER)
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                # The number of addresses over time is unbounded.
                del self._open[client]


class StreamServer:
    """All streams of this process."""

    def __init__(self, routes: LiveRoutes, broker: Broker, admission: Admission, permits: Permits) -> None:
        self._routes = routes
        self._broker = broker
        self._admission = admission
        self._permits = permits

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop."""
        self._broker.attach(loop)
        self._permits.attach(loop)

    def find_events(self, path: str) -> MatchedRoute | None:
        """Return the stream of Server-Sent Events at this path, or None."""
        return self._routes.find(Transport.EVENTS, path)

    def find_socket(self, path: str) -> MatchedRoute | None:
        """Return the WebSocket at this path, or None."""
        return self._routes.find(Transport.WEB_SOCKET, path)

    def has(self, path: str) -> bool:
        """Return whether there is a stream at this path, by either transport."""
        return self.find_events(path) is not None or self.find_socket(path) is not None

    async def send_events(self, found: MatchedRoute, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with a stream. Errors of the request are raised before anything is sent."""
        self._broker.require_open()
        last_id = next((value for name, value in scope["headers"] if name == b"last-event-id"), b"")
        with self._admit(scope) as last_frame:
            try:
                async with found.open(_query(scope), last_id.decode("latin-1")[:_LONGEST_ID] or None) as frames:
                    await send_events(frames, receive, send, last_frame, is_head=scope["method"] == "HEAD")
            except TooSlow:
                self._disconnect(scope, last_frame)

    async def send_texts(self, found: MatchedRoute, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket. Errors of the request are raised before the client is accepted."""
        self._broker.require_open()
        with self._admit(scope) as last_frame:
            try:
                async with found.open(_query(scope), None) as frames:
                    await send_texts(frames, receive, send, last_frame)
            except TooSlow:
                # The server closes the connection, and the kernel terminates it.
                self._disconnect(scope, last_frame)

    @contextmanager
    def _admit(self, scope: Scope) -> Iterator[LastFrame]:
        """Count a stream of the user or, without authentication, the address within the `with` block."""
        principal = current_principal.get()
        with (
            self._admission.admit(principal.owner or address_of_caller(scope)),
            self._permits.hold(principal) as last_frame,
        ):
            yield last_frame

    def _disconnect(self, scope: Scope, last_frame: LastFrame) -> None:
        logger.info("subscriber dropped: it does not read", extra={"client": address_of_caller(scope)})
        connection = scope.get("extensions", {}).get("connection")
        if connection is not None:
            # The last frame may still be in transit.
            seconds = 0.0 if last_frame.done() else LAST_FRAME_SECONDS
            asyncio.get_running_loop().call_later(seconds, connection.abort)


def _query(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return query.decode("latin-1")
