"""uvicorn's protocols with bounded headers, errors in the envelope, and access to the connection."""

import asyncio
import re
import socket
from functools import partial
from typing import Any, Protocol, cast

from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from api.errors import HeadersTooLarge, MalformedRequest, ServiceError
from api.util.http.documents import HeaderList
from api.util.http.envelope import encode_error
from api.util.text.ids import new_request_id
from api.web.reply import UnreadResponses

#: The most bytes of request line and headers. The parser itself has no limit.
MAX_HEADER_BYTES = 64 * 1024

#: Bytes of framing that a chunked body may have per byte of content; chunks of one byte have five.
CHUNK_OVERHEAD = 8

#: Seconds within which a request's headers must be complete.
HEADER_SECONDS = 20.0

#: Requests that may wait on one connection; uvicorn itself has no limit.
MAX_PIPELINED = 64

#: Bytes that a WebSocket client may send at once, and per second on average.
CLIENT_BYTES = 128 * 1024
CLIENT_BYTES_PER_SECOND = 8 * 1024

#: Bytes that the kernel buffers for a client of a stream. Below its default of megabytes, so that a stalled client is
#: noticed within seconds.
STREAM_BUFFER_BYTES = 128 * 1024

#: Unsent bytes that the kernel accepts for a client. A small value, so that unread responses are counted by
#: `UnreadResponses` instead of filling megabytes in the kernel.
UNSENT_BYTES = 128 * 1024

#: Seconds for which sent data may stay unacknowledged before the kernel ends the connection.
UNREAD_SECONDS = 20


class Application(Protocol):
    """The ASGI application, as its connections use it."""

    unread: UnreadResponses

    def note_refusal(self, status: int, request_id: str, client: tuple[str, int] | None) -> None:
        """Log input that is not a valid request."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        ...


class HTTPProtocol(HttpToolsProtocol):
    """One HTTP connection. `headers_since` is the time when the current request started; None between requests."""

    headers_since: float | None = None
    _header_bytes = 0
    _answering: RequestResponseCycle | None = None
    # After the headers: received bytes outside the body (chunk framing, trailers), and bytes of the body.
    _frame_bytes = 0
    _body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.headers_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        super()._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._unread.remove(self.transport)
        # uvicorn notifies the latest request; the one that is being answered may be an earlier one.
        answering = self._answering
        if answering is not None and not answering.response_complete:
            answering.disconnected = True
            answering.message_event.set()
        self.pipeline.clear()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.add(self.transport, self.loop.time())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread.remove(self.transport)

    @property
    def _unread(self) -> UnreadResponses:
        return cast("Application", self.config.app).unread

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        extensions: dict[str, Any] = {
            "connection": self.transport,
            "taken": self.flow.drain,
            "send_whole": partial(self._send_whole, cycle),
        }
        cycle.scope["extensions"] = extensions
        # The task starts in the next round of the event loop. So all requests of a round are read before the first
        # response is sent, which takes less time in the kernel than reading and sending alternately.
        super()._start_asgi_task(cycle, app)

    async def _send_whole(self, cycle: RequestResponseCycle, status: int, headers: HeaderList, body: bytes) -> None:
        """Send a complete response with one system call. uvicorn would write head and body separately."""
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        if cycle.response_started:
            # The client would take it for the response to its next request.
            raise RuntimeError("a response was already sent")
        if (b"connection", b"close") in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            headers = [*headers, (b"connection", b"close")]
        headers = [*cycle.default_headers, *headers]
        head = STATUS_LINE[status] + b"\r\n".join(map(b": ".join, headers)) + b"\r\n\r\n"
        if head.count(b"\r") + head.count(b"\n") != 2 * (len(headers) + 2):
            raise ValueError("a header contains a line break")
        cycle.response_started = cycle.response_complete = True
        # Otherwise scope and cycle refer to each other, and freeing them by garbage collection takes long.
        del cycle.scope["extensions"]["send_whole"]
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        self.transport.write(head if cycle.scope["method"] == "HEAD" else head + body)
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def data_received(self, data: bytes) -> None:
        if self.headers_since is not None:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self._completes_headers(data):
                self._refuse(HeadersTooLarge())
                return
            super().data_received(data)
            return
        self._frame_bytes += len(data)
        super().data_received(data)
        if self._frame_bytes > MAX_HEADER_BYTES + CHUNK_OVERHEAD * self._body_bytes:
            # Endless trailers: the parser collects them, and no application uses them.
            self.transport.abort()

    def _completes_headers(self, data: bytes) -> bool:
        # The limit is for headers; data that ends them within the limit may contain a large part of the body.
        end = data.find(b"\r\n\r\n")
        return end >= 0 and self._header_bytes - len(data) + end <= MAX_HEADER_BYTES

    def _unset_keepalive_if_required(self) -> None:
        """End the keep-alive timeout only when a request begins.

        uvicorn ends it at any byte and never sets it again; but a line break, or the rest of a body after its response,
        begins no request.
        """

    def on_message_begin(self) -> None:
        super()._unset_keepalive_if_required()
        super().on_message_begin()
        self.headers_since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers must not be added to the headers of a request that is being answered.
        if self.headers_since is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.headers_since = None
        self._header_bytes = self._frame_bytes = self._body_bytes = 0
        self._take_host_of_target()
        super().on_headers_complete()
        if len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()

    def _take_host_of_target(self) -> None:
        # `GET http://name/path` is a request to that name; Host is ignored (RFC 9112, 3.2.2).
        if self.url.startswith(b"/"):
            return
        _, separator, rest = self.url.partition(b"://")
        if separator:
            name = re.split(rb"[/?#]", rest, maxsplit=1)[0]
            self.headers[:] = [(key, name if key == b"host" else value) for key, value in self.headers]

    def handle_websocket_upgrade(self) -> None:
        headers = dict(self.headers)
        if self.scope["method"] != "GET" or not headers.get(b"sec-websocket-key"):
            self._refuse(MalformedRequest("This is not a valid WebSocket handshake."))
        elif headers.get(b"sec-websocket-version") != b"13":
            self._refuse(MalformedRequest("Only version 13 of the WebSocket protocol is supported."))
        else:
            super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        self._frame_bytes -= len(body)
        self._body_bytes += len(body)
        super().on_body(body)

    def is_late(self, now: float) -> bool:
        """Return whether the headers of the current request have taken too long."""
        return self.headers_since is not None and now - self.headers_since > HEADER_SECONDS

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequest("This is not a valid HTTP request."))

    def _refuse(self, error: ServiceError) -> None:
        _refuse(self, error)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection, with the small send buffer of a stream from the beginning."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        limit_send_buffer(transport)
        self._allowance = float(CLIENT_BYTES)
        self._received_at = self.loop.time()

    def data_received(self, data: bytes) -> None:
        # Subscribers send only pongs; a flood of tiny frames would block the event loop.
        now = self.loop.time()
        refill = (now - self._received_at) * CLIENT_BYTES_PER_SECOND
        self._allowance = min(CLIENT_BYTES, self._allowance + refill) - len(data)
        self._received_at = now
        if self._allowance < 0:
            self.transport.abort()
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # The library has stricter limits for a handshake (8 KiB per line, no body), and sends no error.
            _refuse(self, MalformedRequest("This is not a valid WebSocket handshake."))


def _refuse(protocol: HTTPProtocol | WebSocketProtocol, error: ServiceError) -> None:
    """Send an error for input that did not become a request, and close the connection."""
    request_id = new_request_id()
    cast("Application", protocol.config.app).note_refusal(error.status, request_id, protocol.client)
    body = encode_error(error, request_id)
    head = STATUS_LINE[error.status] + (
        b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    protocol.transport.write(head + body)
    protocol.transport.close()


def limit_send_buffer(transport: Any) -> None:
    """Limit the kernel's buffer for a client, so that one that does not read is noticed soon."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)


class ListenError(Exception):
    """The service cannot listen on an address; the message has the reason and a remedy."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ListenError if the address is in use or not one of this machine."""
    try:
        return _listen(host, port)
    except (OSError, UnicodeError) as error:
        why = f"cannot listen on {host}:{port} ({getattr(error, 'strerror', None) or error})"
        raise ListenError(f"{why}: stop the program that uses the port, or choose another port with --port") from error


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted sockets inherit it: the kernel ends dead connections even when the event loop is blocked.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener
