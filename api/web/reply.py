"""Send responses: add the headers that every response has, and send errors in the envelope."""

from collections.abc import Mapping
from contextlib import suppress

from starlette.types import Message, Receive, Scope, Send

from api.errors import ServiceError
from api.util.documents import Document, HeaderList, reply_with
from api.util.envelope import JSON, encode_error
from api.web.cross_origin import reading_headers
from api.web.unread_responses import Connection

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
