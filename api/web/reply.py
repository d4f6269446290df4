"""Send responses: add the headers that every response has, and send errors in the envelope.

The part of a response that does not fit into the socket's buffer stays in memory until its client reads it. Each
response is bounded, but there may be many clients, so the sum is bounded as well, and slow clients are disconnected.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Message, Receive, Scope, Send

from api.errors import ServiceError, Unavailable
from api.util.http.documents import Document, HeaderList, reply_with
from api.util.http.envelope import JSON, encode_error
from api.web.guard import reading_headers

logger = logging.getLogger(__name__)

#: Bytes of unread responses over all connections; responses in progress come on top.
MAX_UNREAD_BYTES = 48 * 1024 * 1024

#: Seconds that a request waits for memory before it is rejected with 503.
PATIENCE_SECONDS = 10.0

#: Seconds within which a client must have read something, and the bytes per second that it must read on average.
IDLE_SECONDS = 30.0
MIN_BYTES_PER_SECOND = 4 * 1024

#: Seconds that a client has when the limit is reached.
PRESSURE_SECONDS = 1.0

# The count iterates over the connections; this is the shortest time between two counts, in seconds.
_COUNT_SECONDS = 0.05

_NO_ROOM = "Too many responses wait to be read by their clients. Try again later."


class Connection(Protocol):
    """A client's connection."""

    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def abort(self) -> None: ...


@dataclass(slots=True)
class _Held:
    since: float
    size: int


class UnreadResponses:
    """The connections with unread responses, and the bytes of each. Used from the event loop only."""

    def __init__(self, limit: int = MAX_UNREAD_BYTES) -> None:
        self._limit = limit
        self._held: dict[Connection, _Held] = {}
        self._bytes = 0
        self._counted_at = float("-inf")

    def add(self, connection: Connection, now: float) -> None:
        """Add a connection whose buffer is full."""
        size = connection.get_write_buffer_size()
        self._held[connection] = _Held(now, size)
        self._bytes += size

    def remove(self, connection: Connection) -> None:
        """Remove a connection that is closed or whose client has read everything."""
        if self._held.pop(connection, None) is not None:
            self._counted_at = float("-inf")

    def count(self, now: float) -> int:
        """Return the unread bytes, counted at most 0.05 s ago."""
        if now - self._counted_at > _COUNT_SECONDS:
            self._bytes = sum(connection.get_write_buffer_size() for connection in self._held)
            self._counted_at = now
        return self._bytes

    async def wait_for_memory(self) -> None:
        """Wait until memory for another response is available. Raises Unavailable after PATIENCE_SECONDS."""
        if not self._held:
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        while self.count(loop.time()) >= self._limit:
            self._free_memory(loop.time())
            if loop.time() > end:
                raise Unavailable(_NO_ROOM, headers={"Retry-After": "10"})
            await asyncio.sleep(_COUNT_SECONDS)

    def close_slow(self, now: float) -> None:
        """Close the connections of clients that read nothing or too slowly."""
        for connection, held in list(self._held.items()):
            seconds = now - held.since
            taken = held.size - connection.get_write_buffer_size()
            if seconds > IDLE_SECONDS and taken < seconds * MIN_BYTES_PER_SECOND:
                self._end(connection)

    def _free_memory(self, now: float) -> None:
        # The largest first, so that other clients are not affected.
        late = [connection for connection, held in self._held.items() if now - held.since > PRESSURE_SECONDS]
        for connection in sorted(late, key=lambda one: one.get_write_buffer_size(), reverse=True):
            if self.count(now) < self._limit:
                break
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        logger.info("connection closed: the client does not read its response")
        self.remove(connection)
        connection.abort()


#: RFC 6455, 7.4.1: an unexpected condition ended the stream; the client may reconnect.
_INTERNAL_ERROR = 1011

NOSNIFF = (b"x-content-type-options", b"nosniff")

_JSON_HEADER = (b"content-type", JSON.encode())

Headers = Mapping[bytes, bytes]


class ClientGone(Exception):
    """The client has closed the connection."""


class Reply:
    """The response to one request: adds the headers that every response has, and stores the status."""

    __slots__ = ("_common_headers", "_connection", "_send", "_send_at_once", "request_id", "status")

    def __init__(self, scope: Scope, send: Send, request_id: str, common_headers: HeaderList) -> None:
        extensions = scope.get("extensions", {})
        self._send = send
        self._send_at_once = extensions.get("send_whole", self._send_in_parts)
        self._connection: Connection | None = extensions.get("connection")
        self._common_headers = common_headers
        self.request_id = request_id
        self.status = 0

    def allow_origin(self, origin: bytes) -> None:
        """Let a page of this origin read the response."""
        self._common_headers = [*self._common_headers, *reading_headers(origin)]

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Add these headers to the response, also if it is an error."""
        more = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._common_headers = [*self._common_headers, *more]

    def require_client(self) -> None:
        """Raise ClientGone if the client has disconnected."""
        if self.has_lost_client():
            raise ClientGone

    def has_lost_client(self) -> bool:
        """Return whether the connection is closed or closing. Thread-safe."""
        return self._connection is not None and self._connection.is_closing()

    async def send(self, message: Message) -> None:
        """Send a part of the response. Waits while the client's buffer is full. Raises ClientGone."""
        self.require_client()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], *self._own_headers()]}
        await self._send(message)

    async def send_whole(self, status: int, headers: HeaderList, body: bytes) -> None:
        """Send a complete response. Waits while the client's buffer is full. Raises ClientGone."""
        self.require_client()
        self.status = status
        await self._send_at_once(status, [*headers, *self._own_headers()], body)

    async def _send_in_parts(self, status: int, headers: HeaderList, body: bytes) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _own_headers(self) -> HeaderList:
        return [(b"x-request-id", self.request_id.encode()), *self._common_headers]

    async def send_document(self, document: Document, headers: Headers, now: float) -> None:
        if_none_match, accept_encoding = headers.get(b"if-none-match"), headers.get(b"accept-encoding")
        await self.send_whole(
            *reply_with(
                document,
                if_none_match.decode("latin-1") if if_none_match else "",
                accept_encoding.decode("latin-1") if accept_encoding else "",
                now,
            )
        )

    async def send_empty(self, status: int, headers: HeaderList) -> None:
        """Send a response without content."""
        await self.send_whole(status, [*headers, (b"content-length", b"0")], b"")

    async def send_json(self, body: bytes) -> None:
        """Send this JSON with status 200."""
        await self.send_whole(200, [_JSON_HEADER, (b"content-length", b"%d" % len(body))], body)

    async def fail(self, error: ServiceError) -> None:
        """Send the error, unless a response has started or the client has disconnected."""
        if self.status:
            return
        with suppress(ClientGone):
            await self._fail(error)

    async def _fail(self, error: ServiceError) -> None:
        body = encode_error(error, self.request_id)
        headers = [_JSON_HEADER, (b"content-length", b"%d" % len(body))]
        headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        await self.send_whole(error.status, headers, body)


class Handshake:
    """A WebSocket's handshake: until it is accepted, it can be rejected with an error in the envelope."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_done = False

    async def send(self, message: Message) -> None:
        self._is_done = True
        await self._send(message)

    async def refuse(self, receive: Receive, error: ServiceError, request_id: str) -> None:
        if self._is_done:
            with suppress(Exception):
                await self._send({"type": "websocket.close", "code": _INTERNAL_ERROR})
            return
        body = encode_error(error, request_id)
        headers = [_JSON_HEADER, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode())]
        headers += [NOSNIFF, *((name.lower().encode(), value.encode()) for name, value in error.headers.items())]
        await receive()
        await self._send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body})
