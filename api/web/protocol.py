"""uvicorn's protocols with this service's manners: bounded headers, failures in the envelope, sockets within reach."""

import asyncio
import re
import socket
from typing import Any, Protocol, cast

from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from api.errors import HeadersTooLarge, MalformedRequest, ServiceError
from api.util.envelope import encode_error
from api.util.ids import new_request_id
from api.web.unread_answers import UnreadAnswers

#: The most bytes of request line and headers; more is refused. (The parser itself has no bound.)
MAX_HEADER_BYTES = 64 * 1024

#: Bytes of framing that a chunked body may have for each byte of content; chunks of one byte have five.
CHUNK_OVERHEAD = 8

#: Seconds within which a request's headers must be complete.
HEADER_SECONDS = 20.0

#: Requests that may wait for their turn on one connection; uvicorn itself would take any number.
MAX_PIPELINED = 64

#: Bytes that a WebSocket client may send at once, and per second in the long run.
SPEECH_BYTES = 128 * 1024
SPEECH_BYTES_A_SECOND = 8 * 1024

#: Bytes that the kernel may hold for a stream's client that does not read; below its default of megabytes, so that a
#: stalled client shows in seconds.
STREAM_BUFFER_BYTES = 128 * 1024

#: Bytes that the kernel may hold unsent for a client: so what a client does not read soon shows in our own count, and
#: not only after the megabytes that the kernel would take.
UNSENT_BYTES = 128 * 1024

#: Seconds for which sent data may stay unacknowledged before the kernel ends the connection.
UNREAD_SECONDS = 20


class Served(Protocol):
    """The application, and what its connections tell it."""

    unread: UnreadAnswers

    def note_refusal(self, status: int, request_id: str, client: tuple[str, int] | None) -> None:
        """Notes what was refused because it is no request at all."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        ...


class HTTPProtocol(HttpToolsProtocol):
    """One HTTP connection. `headers_since` is when the request being received began; None between requests."""

    headers_since: float | None = None
    _header_bytes = 0
    _answering: RequestResponseCycle | None = None
    # After the headers: bytes that came and are no body (the frames of chunks, trailers), and bytes of the body.
    _frame_bytes = 0
    _body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.headers_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        super()._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._unread.remove(self.transport)
        # uvicorn tells the request that came last; the one that is being answered may be another.
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
    def _unread(self) -> UnreadAnswers:
        return cast(Served, self.config.app).unread

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

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
            # Trailers without end: the parser collects them, and nobody asked for any.
            self.transport.abort()

    def _completes_headers(self, data: bytes) -> bool:
        # The bound is for headers; a chunk that ends them within the bound may bring much body along.
        end = data.find(b"\r\n\r\n")
        return end >= 0 and self._header_bytes - len(data) + end <= MAX_HEADER_BYTES

    def _unset_keepalive_if_required(self) -> None:
        """Ends the keep-alive timeout only when a request begins; uvicorn ends it at any byte, and never sets it anew.

        A line break, or the rest of a body whose answer is sent, begins no request.
        """

    def on_message_begin(self) -> None:
        super()._unset_keepalive_if_required()
        super().on_message_begin()
        self.headers_since = self.loop.time()
        extensions = {"connection": self.transport, "taken": self.flow.drain}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers would be added to the headers of a request that is being answered.
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
        # `GET http://name/path` is a request to that name, whatever Host says (RFC 9112, 3.2.2).
        _, separator, rest = self.url.partition(b"://")
        if separator and not self.url.startswith(b"/"):
            name = re.split(rb"[/?#]", rest, maxsplit=1)[0]
            self.headers[:] = [(key, name if key == b"host" else value) for key, value in self.headers]

    def handle_websocket_upgrade(self) -> None:
        headers = dict(self.headers)
        if self.scope["method"] != "GET" or not headers.get(b"sec-websocket-key"):
            self._refuse(MalformedRequest("This is not a valid WebSocket handshake."))
        elif headers.get(b"sec-websocket-version") != b"13":
            self._refuse(MalformedRequest("Only version 13 of WebSocket is spoken here."))
        else:
            super().handle_websocket_upgrade()

    def on_body(self, body: bytes) -> None:
        self._frame_bytes -= len(body)
        self._body_bytes += len(body)
        super().on_body(body)

    def is_late(self, now: float) -> bool:
        """Whether the headers of the present request have taken too long."""
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
        self._allowance = float(SPEECH_BYTES)
        self._heard_at = self.loop.time()

    def data_received(self, data: bytes) -> None:
        # Subscribers have nothing to say but pongs; a flood of tiny frames would keep the event loop from all others.
        now = self.loop.time()
        refill = (now - self._heard_at) * SPEECH_BYTES_A_SECOND
        self._allowance = min(SPEECH_BYTES, self._allowance + refill) - len(data)
        self._heard_at = now
        if self._allowance < 0:
            self.transport.abort()
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # The library has stricter bounds for a handshake (a line of 8 KiB, no body), and only falls silent.
            _refuse(self, MalformedRequest("This is not a valid WebSocket handshake."))


def _refuse(protocol: HTTPProtocol | WebSocketProtocol, error: ServiceError) -> None:
    """Answers with an error what never became a request, and ends the connection."""
    request_id = new_request_id()
    cast(Served, protocol.config.app).note_refusal(error.status, request_id, protocol.client)
    body = encode_error(error, request_id)
    head = STATUS_LINE[error.status] + (
        b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    protocol.transport.write(head + body)
    protocol.transport.close()


def limit_send_buffer(transport: Any) -> None:
    """Bounds what the kernel holds for a client, so that one who does not read shows soon."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)


class CannotListen(Exception):
    """An address cannot be listened on: why, and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises CannotListen when the address is taken or not this machine's."""
    try:
        return _listen(host, port)
    except (OSError, UnicodeError) as error:
        why = f"{host}:{port} cannot be listened on ({getattr(error, 'strerror', None) or error})"
        raise CannotListen(f"{why}: stop what listens there, or choose another with --port") from error


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted sockets inherit it: the kernel drops who neither reads nor answers, wherever we are stuck.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener
