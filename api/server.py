"""The ASGI shell: guards every request, answers ready documents and live streams, hands the rest to Flask."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from wsgiref.types import WSGIApplication

import uvicorn
from starlette.types import Message, Receive, Scope, Send

from api.errors import MalformedRequest, MethodNotAllowed, NotFound, RequestTimeout, ServiceError, TooLarge
from api.live.routing import Found
from api.live.serving import LiveServing
from api.services.documents import Document, DocumentTable, HeaderList, ReadyDocument, reply_with
from api.shell.access_log import Access, AccessLog
from api.shell.downloads import send_download
from api.shell.guard import HostPolicy
from api.shell.protocol import HTTPProtocol, WebSocketProtocol, limit_send_buffer
from api.shell.wsgi import FlaskBelow
from api.utils.clock import Clock
from api.utils.envelope import JSON, encode_error
from api.utils.ids import SAFE_ID, current_request_id, new_request_id
from api.utils.responses import FILE

logger = logging.getLogger(__name__)

#: Threads for Flask; its routes only read memory, so that more would not answer more.
FLASK_THREADS = 8

#: Seconds within which a request's body must have arrived; slow senders hold no thread meanwhile.
BODY_SECONDS = 30.0

#: Seconds that a shutdown waits for what is being answered. Streams are ended by ourselves, at once.
GRACE_SECONDS = 3

#: The route of every address that does not exist: one for all, or clients could make metrics without end.
UNKNOWN_ROUTE = "unknown"

#: RFC 6455, 7.4.1: the server cannot go on with the stream; the client may come again.
_INTERNAL_ERROR = 1011

_STREAM_METHODS = "GET, HEAD, OPTIONS"

_JSON_HEADER = (b"content-type", JSON.encode())
_NOSNIFF = (b"x-content-type-options", b"nosniff")

Headers = Mapping[bytes, bytes]


class Shell:
    """The outermost application."""

    def __init__(
        self,
        flask_app: WSGIApplication,
        policy: HostPolicy,
        access_log: AccessLog,
        live: LiveServing,
        documents: Callable[[], DocumentTable],
        clock: Clock,
        max_body_bytes: int,
        serves_documents: bool = True,
    ) -> None:
        """`serves_documents=False` leaves every document to its Flask route: slower, and the same in all else."""
        self._flask = FlaskBelow(flask_app, workers=FLASK_THREADS)  # type: ignore[arg-type]
        self._policy = policy
        self._record = access_log.record
        self._live = live
        self._documents = documents
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        # With origins allowed, an answer differs by Origin even where the request has none.
        self._common_headers = [_NOSNIFF, *([(b"vary", b"Origin")] if policy.has_origins else [])]
        self._serves_documents = serves_documents

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve_http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            await self._serve_lifespan(receive, send)

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._live.attach(asyncio.get_running_loop())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    # -- HTTP ------------------------------------------------------------------------------------------------------

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        reply = _Reply(send, request_id, self._common_headers)
        route = None
        try:
            self._check(scope, headers)
            ready = self._ready_document(scope, headers)
            if ready is not None:
                route = ready.route
                await reply.send_document(ready.document, headers, self._clock.monotonic())
            else:
                await self._think(scope, headers, receive, reply)
        except ServiceError as error:
            if self._policy.allows_cross(headers.get(b"origin")):
                reply.allow_origin(headers[b"origin"])
            await reply.fail(error)
        except Exception:
            logger.exception("request failed", extra={"request_id": request_id, "path": scope["path"]})
            await reply.fail(ServiceError())
        finally:
            self._note(scope, began, request_id, reply.status, route)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if len(headers) != len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise MalformedRequest("The request has more than one Host header.")
        self._policy.check(headers.get(b"host"), headers.get(b"origin"))

    def _ready_document(self, scope: Scope, headers: Headers) -> ReadyDocument | None:
        is_plain = scope["method"] == "GET" and not scope["query_string"] and b"origin" not in headers
        return self._documents().ready(scope["path"]) if is_plain and self._serves_documents else None

    async def _think(self, scope: Scope, headers: Headers, receive: Receive, reply: "_Reply") -> None:
        token = current_request_id.set(reply.request_id)
        try:
            found = self._live.find_events(scope["path"])
            if found is not None:
                await self._stream(found, scope, headers, receive, reply)
            else:
                await self._ask_flask(scope, headers, receive, reply)
        finally:
            current_request_id.reset(token)

    async def _ask_flask(self, scope: Scope, headers: Headers, receive: Receive, reply: "_Reply") -> None:
        if scope["path"].startswith("//"):
            # Werkzeug would drop the first slash and find a route.
            raise NotFound
        if not scope["query_string"].isascii():
            raise MalformedRequest("The query string must be percent-encoded.")
        body = await self._read_body(headers, receive)
        if b"transfer-encoding" in headers:
            # WSGI knows no chunks: without a length the body would count as empty.
            kept = [(name, value) for name, value in scope["headers"] if name != b"transfer-encoding"]
            scope["headers"] = [*kept, (b"content-length", b"%d" % len(body))]
        state = scope["state"]

        async def send_unless_file(message: Message) -> None:
            if FILE not in state:
                await reply.send(message)

        await self._flask(scope, _replay(body), send_unless_file)
        if FILE in state:
            if self._policy.allows_cross(headers.get(b"origin")):
                reply.allow_origin(headers[b"origin"])
            await send_download(state[FILE], scope, receive, reply.send)

    async def _read_body(self, headers: Headers, receive: Receive) -> bytes:
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            return b""
        limit = self._max_body_bytes
        too_large = TooLarge(f"The body is larger than {limit:,} bytes.", data={"max_bytes": limit})
        if int(headers.get(b"content-length", b"0")) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                more = True
                while more:
                    message = await receive()
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > limit:
                        raise too_large
        except TimeoutError:
            raise RequestTimeout(headers={"Connection": "close"}) from None
        return bytes(body)

    async def _stream(self, found: Found, scope: Scope, headers: Headers, receive: Receive, reply: "_Reply") -> None:
        scope["state"]["route"] = found.route.pattern
        if scope["method"] == "OPTIONS":
            headers_out = [(b"allow", _STREAM_METHODS.encode()), (b"content-length", b"0")]
            await reply.send({"type": "http.response.start", "status": 200, "headers": headers_out})
            await reply.send({"type": "http.response.body", "body": b""})
            return
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(headers={"Allow": _STREAM_METHODS})
        if self._policy.allows_cross(headers.get(b"origin")):
            reply.allow_origin(headers[b"origin"])
        connection = scope.get("extensions", {}).get("connection")
        if connection is not None:
            limit_send_buffer(connection)
        await self._live.send_events(found, scope, receive, reply.send)

    def note_refusal(self, status: int, request_id: str, client: tuple[str, int] | None) -> None:
        """Logs and counts what the protocol refused because it is no request at all."""
        scope = {"method": "-", "path": "-", "client": client}
        self._note(scope, time.perf_counter(), request_id, status, UNKNOWN_ROUTE)

    def _note(self, scope: Scope, began: float, request_id: str, status: int, route: str | None) -> None:
        self._record(
            Access(
                time.time(),
                scope.get("method", "WEBSOCKET"),
                scope["path"],
                route or scope.get("state", {}).get("route", UNKNOWN_ROUTE),
                status,
                time.perf_counter() - began,
                request_id,
                _client(scope),
            )
        )

    # -- WebSocket -------------------------------------------------------------------------------------------------

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        handshake, status = _Handshake(send), 101
        try:
            self._check(scope, headers)
            found = self._live.find_socket(scope["path"])
            if found is None:
                raise NotFound
            scope.setdefault("state", {})["route"] = found.route.pattern
            await self._live.send_texts(found, scope, receive, handshake.send)
        except ServiceError as error:
            status = error.status
            await handshake.refuse(receive, error, request_id)
        except Exception:
            status = 500
            logger.exception("stream failed", extra={"request_id": request_id, "path": scope["path"]})
            await handshake.refuse(receive, ServiceError(), request_id)
        finally:
            self._note(scope, began, request_id, status, None)


class _Handshake:
    """A WebSocket, which can be refused in the envelope until the client was let in."""

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
        headers += [_NOSNIFF, *((name.lower().encode(), value.encode()) for name, value in error.headers.items())]
        await receive()
        await self._send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body})


class _Reply:
    """What goes back: adds the headers that every answer has, and remembers the status."""

    __slots__ = ("_common_headers", "_send", "request_id", "status")

    def __init__(self, send: Send, request_id: str, common_headers: HeaderList) -> None:
        self._send = send
        self._common_headers = common_headers
        self.request_id = request_id
        self.status = 0

    def allow_origin(self, origin: bytes) -> None:
        """Lets a page of this origin read the answer; for what Flask does not answer, which does so itself."""
        allowed = (b"access-control-allow-origin", origin)
        self._common_headers = [*(header for header in self._common_headers if header != allowed), allowed]

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [(b"x-request-id", self.request_id.encode()), *self._common_headers]
            message = {**message, "headers": [*message["headers"], *own]}
        await self._send(message)

    async def send_document(self, document: Document, headers: Headers, now: float) -> None:
        if_none_match, accept_encoding = headers.get(b"if-none-match"), headers.get(b"accept-encoding")
        status, own, body = reply_with(
            document,
            if_none_match.decode("latin-1") if if_none_match else "",
            accept_encoding.decode("latin-1") if accept_encoding else "",
            now,
        )
        own.append((b"x-request-id", self.request_id.encode()))
        own += self._common_headers
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": own})
        await self._send({"type": "http.response.body", "body": body})

    async def fail(self, error: ServiceError) -> None:
        """Sends the failure, unless an answer is already on its way."""
        if self.status:
            return
        body = encode_error(error, self.request_id)
        headers = [_JSON_HEADER, (b"content-length", b"%d" % len(body))]
        headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _request_id(given: bytes | None) -> str:
    if given is not None:
        text = given.decode("latin-1")
        if SAFE_ID.fullmatch(text):
            return text
    return new_request_id()


def _client(scope: Scope) -> str | None:
    client = scope.get("client")
    return None if client is None else str(client[0])


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class Server(uvicorn.Server):
    """uvicorn's server, which ends the streams itself and exits with 0 when it is told to end."""

    def __init__(self, shell: Shell, end_streams: Callable[[], None], on_started: Callable[[], None]) -> None:
        """`end_streams` is called from a signal handler; `on_started` once it listens, and answers signals."""
        super().__init__(
            uvicorn.Config(
                shell,
                http=HTTPProtocol,
                ws=WebSocketProtocol,
                ws_max_size=64 * 1024,
                # A client that does not answer a ping is gone within 20 s.
                ws_ping_interval=10.0,
                ws_ping_timeout=10.0,
                ws_per_message_deflate=False,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._end_streams = end_streams
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._end_streams()

    async def on_tick(self, counter: int) -> bool:
        # A tick is 0.1 s; who has not sent a whole header in 20 s is looked for every 2 s.
        if counter % 20 == 0:
            now = asyncio.get_running_loop().time()
            for connection in [
                c for c in self.server_state.connections if isinstance(c, HTTPProtocol) and c.is_late(now)
            ]:
                connection.transport.abort()
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Ends on SIGINT and SIGTERM without raising them again: being told to end is no failure."""
        handlers = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in handlers.items():
                signal.signal(sig, handler)
