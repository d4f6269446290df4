"""The outermost ASGI application: checks every request, serves ready documents and streams, passes others to Flask."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from wsgiref.types import WSGIApplication

from starlette.types import Receive, Scope, Send

from api.domain.access.read_scope import current_scope
from api.errors import MalformedRequest, MethodNotAllowed, NotFound, ServiceError, Unavailable
from api.streaming.addresses import MatchedRoute
from api.streaming.connections import StreamServer
from api.util.clock import Clock
from api.util.files.stored_form import FILE
from api.util.http.caller import address_of_caller, has_caller_left
from api.util.http.documents import DocumentTable, ReadyDocument, reply_with
from api.util.http.envelope import encode_answer
from api.util.measures import Span, begin_request
from api.util.text.ids import current_request_id
from api.web.access_log import Access, AccessLog, shown_path
from api.web.auditing import Auditing, name_operation
from api.web.bodies.body import Bodies, BodyHandler, BodyRequest, FlaskRunner, WSGIResponse
from api.web.bodies.tus import VERSION, Tus
from api.web.file_responses import send_download
from api.web.gate import RATE_HEADERS, Caller, Gate
from api.web.guard import HostPolicy, is_preflight, join_headers, preflight_headers, request_id_of
from api.web.protocol import limit_send_buffer
from api.web.reply import NOSNIFF, PATIENCE_SECONDS, ClientGone, Connection, Handshake, Headers, Reply, UnreadResponses

logger = logging.getLogger(__name__)

#: Threads for Flask. Requests that wait up to 4 s for a locked database must leave some for responses from memory.
FLASK_THREADS = 16

#: The route label in metrics for all unknown addresses; one label each would let clients create unlimited series.
UNKNOWN_ROUTE = "unknown"

#: The status, in log and metrics, of a request whose client disconnected before the response; as in nginx.
CLIENT_GONE = 499

_STREAM_METHODS = ("GET", "HEAD", "OPTIONS")


#: The most requests that wait for a slot. At about 500 requests a second per process, the last of them waits for half
#: a second; a longer queue would only delay all responses.
MAX_WAITING = 256


class WorkerSlots:
    """The slots of one server. Used from the event loop only."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._waiting = 0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it within the `async with` block. Raises Unavailable."""
        if self._waiting >= MAX_WAITING:
            raise Unavailable("The server is overloaded. Try again.", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), PATIENCE_SECONDS)
        except TimeoutError:
            raise Unavailable("The server is overloaded. Try again later.", headers={"Retry-After": "5"}) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


class Paths(Protocol):
    """The addresses of the Flask application."""

    def methods(self, path: str) -> tuple[str, ...]: ...  # empty: unknown address
    def find(self, path: str, method: str) -> tuple[str, Mapping[str, str]]: ...  # its pattern, and the variable parts


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellParts:
    """The dependencies of the shell."""

    flask_app: WSGIApplication
    paths: Paths
    policy: HostPolicy
    gate: Gate
    auditing: Auditing
    access_log: AccessLog
    live: StreamServer
    documents: Callable[[], DocumentTable]
    instant: Mapping[str, Callable[[], Any]]  #: by path: functions of the event loop, which may read memory only
    clock: Clock
    max_body_bytes: int
    serves_documents: bool = True  #: False: Flask serves every document, slower but with the same result
    tus: Tus | None = None
    body_handlers: Mapping[str, BodyHandler] = field(default_factory=dict)  #: by the names of operations


class Shell:
    """The outermost ASGI application: checks each request, and answers it or passes it to Flask."""

    def __init__(self, parts: ShellParts) -> None:
        self._flask = FlaskRunner(parts.flask_app, FLASK_THREADS)
        self._paths = parts.paths
        self._slots = WorkerSlots(FLASK_THREADS)
        self.unread = UnreadResponses()  #: counts and bounds the bytes of responses that clients have not read
        self._policy = parts.policy
        self._gate = parts.gate
        self._auditing = parts.auditing
        self._record = parts.access_log.record
        self._live = parts.live
        self._documents = parts.documents
        self._instant = parts.instant
        self._clock = parts.clock
        self._bodies = Bodies(parts.max_body_bytes)
        self._tus = parts.tus
        self._body_handlers = parts.body_handlers
        # With allowed origins, responses vary by Origin, even if this request has none.
        self._common_headers = [NOSNIFF, *([(b"vary", b"Origin")] if parts.policy.has_origins else [])]
        self._serves_documents = parts.serves_documents

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
        request_id = request_id_of(headers)
        reply = Reply(scope, send, request_id, self._common_headers)
        route, caller, span = None, Caller(), begin_request(headers)
        try:
            self._check(scope, headers)
            if b"origin" in headers:
                if self._policy.allows_cross(headers[b"origin"]):
                    reply.allow_origin(headers[b"origin"])
                if is_preflight(scope["method"], headers):
                    # Browsers send preflights without credentials.
                    await reply.send_empty(200, preflight_headers(headers))
                    return
            caller = await self._gate.identify(scope, headers)
            ready = self._ready_document(scope)
            if ready is not None and self._gate.may_share(caller, ready.route):
                route = ready.route
                await reply.send_document(ready.document, headers, self._clock.monotonic())
            else:
                await self._route(caller, scope, headers, receive, reply)
        except ServiceError as error:
            self._audit_refusal(error, scope, headers, request_id, caller)
            await reply.fail(error)
        except ClientGone:
            reply.status = reply.status or CLIENT_GONE
        except Exception:
            logger.exception("request failed", extra={"request_id": request_id, "path": shown_path(scope["path"])})
            await reply.fail(ServiceError())
        finally:
            self._log_request(scope, began, request_id, reply.status, route)
            if span is not None:
                self._end_span(span, scope, request_id, reply.status, route)

    def _end_span(self, span: Span, scope: Scope, request_id: str, status: int, route: str | None) -> None:
        """End the span of a request. Path and query are omitted, because users paste keys into them."""
        pattern = route or scope.get("state", {}).get("route", UNKNOWN_ROUTE)
        facts = {
            "http.request.method": scope["method"],
            "http.route": pattern,
            "http.response.status_code": status,
            "diffusion_pipe.request_id": request_id,
        }
        span.end(facts, name=f"{scope['method']} {pattern}", has_failed=status >= 500)

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        if len(headers) != len(scope["headers"]):
            headers.update(join_headers(scope["headers"]))
        self._policy.check(headers.get(b"host"), headers.get(b"origin"))

    def _ready_document(self, scope: Scope) -> ReadyDocument | None:
        is_plain = scope["method"] == "GET" and not scope["query_string"]
        return self._documents().ready(scope["path"]) if is_plain and self._serves_documents else None

    async def _route(
        self, caller: Caller, scope: Scope, headers: dict[bytes, bytes], receive: Receive, reply: Reply
    ) -> None:
        token = current_request_id.set(reply.request_id)
        if self._tus is not None:
            scope["method"] = self._tus.method_of(scope, headers)
        path, method = scope["path"], scope["method"]
        try:
            # No address contains NUL, and PostgreSQL rejects it.
            is_address = "\0" not in path
            found = self._live.find_events(path) if is_address else None
            methods = _STREAM_METHODS if found is not None else self._paths.methods(path) if is_address else ()
            if method not in methods or method == "OPTIONS":
                # Only authenticated callers learn which addresses exist.
                caller.require_principal()
                await self._answer_without_route(methods, scope, reply)
                return
            pattern, arguments = self._match(found, path, method)
            principal = await self._gate.admit(caller, method, pattern, arguments, scope)
            reply.add_headers(scope["state"].get(RATE_HEADERS, {}))
            if self._tus is not None and self._tus.serves(path):
                reply.add_headers({"Tus-Resumable": VERSION})
                self._tus.require_version(scope, headers)
            noting = self._auditing.noting(principal, method, pattern, arguments, scope, reply)
            with self._gate.acting_as(principal), noting:
                if found is not None:
                    await self._stream(found, scope, receive, reply)
                elif path in self._instant:
                    scope["state"]["route"] = path
                    await reply.send_json(encode_answer(self._instant[path]()))
                else:
                    body_handler = self._body_handlers.get(name_operation(method, pattern))
                    request = BodyRequest(scope, headers, receive, arguments)
                    await self._call_flask(request, body_handler, reply)
        finally:
            current_request_id.reset(token)

    def _match(self, found: MatchedRoute | None, path: str, method: str) -> tuple[str, Mapping[str, str]]:
        return self._paths.find(path, method) if found is None else (found.route.pattern, found.arguments)

    async def _answer_without_route(self, methods: tuple[str, ...], scope: Scope, reply: Reply) -> None:
        if not methods:
            await self._redirect(scope, reply)
        elif scope["method"] == "OPTIONS":
            tus_headers = [] if self._tus is None else self._tus.options(scope["path"])
            await reply.send_empty(200, [(b"allow", ", ".join(methods).encode()), *tus_headers])
        else:
            raise MethodNotAllowed(headers={"Allow": ", ".join(methods)})

    async def _redirect(self, scope: Scope, reply: Reply) -> None:
        """Redirect to the address without its trailing slash. Raises NotFound if that does not exist."""
        path, raw = scope["path"], scope.get("raw_path") or b""
        shorter = path[:-1]
        is_there = path.endswith("/") and (self._paths.methods(shorter) or self._live.find_events(shorter) is not None)
        # An encoded slash at the end is not a mistyped one.
        if not is_there or not raw.endswith(b"/"):
            raise NotFound
        query: bytes = scope["query_string"]
        await reply.send_empty(308, [(b"location", raw[:-1] + (b"?" + query if query else b""))])

    async def _call_flask(self, request: BodyRequest, body_handler: BodyHandler | None, reply: Reply) -> None:
        scope = request.scope
        if not scope["query_string"].isascii():
            raise MalformedRequest("The query string must be percent-encoded.")
        await _wait_until_read(scope)
        if body_handler is None:
            body = await self._bodies.read(request.headers, request.receive)
        else:
            await body_handler.before(request)
            body = b""
        if body_handler is not None or b"transfer-encoding" in request.headers:
            _set_length(scope, len(body))
        async with self._slots.take():
            await self.unread.wait_for_memory()
            reply.require_client()
            has_caller_left.set(reply.has_lost_client)
            table = self._table_for(scope)
            if table is None:
                answer = await self._flask.call(scope, body)
            else:
                answer = await asyncio.to_thread(_make_document_response, table, request, self._clock.monotonic())
        if body_handler is not None:
            answer = await body_handler.after(request, answer)
        file = scope["state"].pop(FILE, None)
        if file is None:
            await reply.send_whole(*answer)
            return
        await send_download(file, scope, request.receive, reply.send)

    def _table_for(self, scope: Scope) -> DocumentTable | None:
        """Return the documents if this one is generated for scrapers and the caller's scope is everything, else None.

        None means Flask, which a machine that is only monitored never has to load.
        """
        table = self._documents()
        is_made = self._serves_documents and scope["method"] == "GET" and table.is_for_scrapers(scope["path"])
        return table if is_made and current_scope.get().is_whole else None

    async def _stream(self, found: MatchedRoute, scope: Scope, receive: Receive, reply: Reply) -> None:
        scope["state"]["route"] = found.route.pattern
        connection = _connection(scope)
        if connection is not None:
            limit_send_buffer(connection)
        await self._live.send_events(found, scope, receive, reply.send)

    def _audit_refusal(
        self, error: ServiceError, scope: Scope, headers: Headers, request_id: str, caller: Caller
    ) -> None:
        if error.is_refusal:
            method, principal = scope.get("method", "WEBSOCKET"), caller.principal
            self._auditing.refuse(error, method, self._pattern(scope), scope, headers, request_id, principal)

    def _pattern(self, scope: Scope) -> str:
        """Return the pattern of the requested address; UNKNOWN_ROUTE if there is none, which bounds their number."""
        path, method = scope["path"], scope.get("method", "WEBSOCKET")
        found = self._live.find_socket(path) if method == "WEBSOCKET" else self._live.find_events(path)
        if found is not None:
            return found.route.pattern
        return self._paths.find(path, method)[0] if method in self._paths.methods(path) else UNKNOWN_ROUTE

    def note_refusal(self, status: int, request_id: str, client: tuple[str, int] | None) -> None:
        """Log and count input that the HTTP parser rejected."""
        scope = {"method": "-", "path": "-", "client": client}
        self._log_request(scope, time.perf_counter(), request_id, status, UNKNOWN_ROUTE)

    def _log_request(self, scope: Scope, began: float, request_id: str, status: int, route: str | None) -> None:
        self._record(
            Access(
                time.time(),
                scope.get("method", "WEBSOCKET"),
                scope["path"],
                route or scope.get("state", {}).get("route", UNKNOWN_ROUTE),
                status,
                time.perf_counter() - began,
                request_id,
                address_of_caller(scope),
            )
        )

    # -- WebSocket -------------------------------------------------------------------------------------------------

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = request_id_of(headers)
        handshake, status, caller = Handshake(send), 101, Caller()
        try:
            self._check(scope, headers)
            caller = await self._gate.identify(scope, headers)
            found = self._live.find_socket(scope["path"])
            if found is None:
                caller.require_principal()
                raise NotFound
            scope.setdefault("state", {})["route"] = found.route.pattern
            principal = await self._gate.admit(caller, "WEBSOCKET", found.route.pattern, found.arguments, scope)
            with self._gate.acting_as(principal):
                await self._live.send_texts(found, scope, receive, handshake.send)
        except ServiceError as error:
            status = error.status
            self._audit_refusal(error, scope, headers, request_id, caller)
            await handshake.refuse(receive, error, request_id)
        except Exception:
            status = 500
            logger.exception("stream failed", extra={"request_id": request_id, "path": shown_path(scope["path"])})
            await handshake.refuse(receive, ServiceError(), request_id)
        finally:
            self._log_request(scope, began, request_id, status, None)


def _make_document_response(table: DocumentTable, request: BodyRequest, now: float) -> WSGIResponse:
    """Generate a document and return the response to a GET of it."""
    scope = request.scope
    accept, if_none_match, accept_encoding = (
        request.headers.get(name, b"").decode("latin-1") for name in (b"accept", b"if-none-match", b"accept-encoding")
    )
    document = table.get(scope["path"], accept)
    if document is None:
        raise NotFound
    scope["state"]["route"] = scope["path"]
    return WSGIResponse(*reply_with(document, if_none_match, accept_encoding, now))


def _set_length(scope: Scope, length: int) -> None:
    """Set the length of the body that Flask reads: WSGI has no chunks, and a body without a length counts as empty."""
    headers = [each for each in scope["headers"] if each[0] not in (b"transfer-encoding", b"content-length")]
    scope["headers"] = [*headers, (b"content-length", b"%d" % length)]


async def _wait_until_read(scope: Scope) -> None:
    """Wait until the client has accepted its earlier responses; no new one is generated before."""
    taken = scope.get("extensions", {}).get("taken")
    if taken is not None:
        await taken()


def _connection(scope: Scope) -> Connection | None:
    connection: Connection | None = scope.get("extensions", {}).get("connection")
    return connection
