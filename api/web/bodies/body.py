"""Read request bodies within limits of bytes and time; only then run Flask, in threads. Only the event loop waits."""

import asyncio
import contextvars
import functools
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple, Protocol, cast
from wsgiref.types import WSGIApplication, WSGIEnvironment

from a2wsgi.wsgi import build_environ
from starlette.types import Receive, Scope

from api.errors import MalformedRequest, RequestTimeout, TooLarge, Unavailable, UnsupportedMediaType
from api.util.http.documents import HeaderList
from api.web.reply import Headers

#: Seconds within which a request's body must have arrived. Slow clients occupy no thread meanwhile.
BODY_SECONDS = 30.0

#: The most bytes of all bodies in memory together. Bodies up to SMALL_BODY_BYTES do not count, so that a flood of large
#: bodies does not block ordinary requests.
MAX_BODIES_BYTES = 64 * 1024 * 1024
SMALL_BODY_BYTES = 32 * 1024
_AS_IT_IS_SENT = "Transfer-Encoding must be chunked or absent."
AS_IT_IS = "The body must not be compressed. Send it without Content-Encoding."


class WSGIResponse(NamedTuple):
    """A complete response of a WSGI application."""

    status: int
    headers: HeaderList
    body: bytes


class FlaskRunner:
    """Calls a WSGI application in a thread pool. No thread waits for a client, neither to receive nor to send."""

    def __init__(self, app: WSGIApplication, workers: int) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="WSGI")

    async def call(self, scope: Scope, body: bytes) -> WSGIResponse:
        """Return the response to a request whose body has arrived."""
        environ = cast(WSGIEnvironment, build_environ(_without_twins(scope), BytesIO(body)))  # type: ignore[arg-type]
        work = functools.partial(contextvars.copy_context().run, self._answer, environ)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _answer(self, environ: WSGIEnvironment) -> WSGIResponse:
        heads: list[tuple[str, list[tuple[str, str]]]] = []
        parts: list[bytes] = []

        def start(status: str, headers: list[tuple[str, str]], failure: object = None) -> Callable[[bytes], Any]:
            heads.append((status, headers))
            return parts.append

        produced: Iterable[bytes] = self._app(environ, start)
        try:
            parts.extend(produced)
        finally:
            getattr(produced, "close", lambda: None)()
        # An application that fails after its start calls start_response again (PEP 3333).
        status, headers = heads[-1]
        encoded = [(name.strip().lower().encode("latin-1"), value.strip().encode("latin-1")) for name, value in headers]
        return WSGIResponse(int(status[:3]), encoded, b"".join(parts))


def _without_twins(scope: Scope) -> Scope:
    """Remove headers with underscores, which WSGI would confuse with those with dashes (`a_b` and `a-b`)."""
    if any(b"_" in name for name, _ in scope["headers"]):
        scope["headers"] = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    return scope


class Bodies:
    """Reads bodies and counts their bytes in memory. Used from the event loop only."""

    def __init__(self, limit: int, limit_together: int = MAX_BODIES_BYTES) -> None:
        """`limit` is the largest body in bytes, `limit_together` the most bytes of all bodies in memory."""
        self._limit = limit
        self._limit_together = max(limit, limit_together)
        self._bytes = 0

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """Return the body; b"" without one.

        Raises UnsupportedMediaType, TooLarge, RequestTimeout or Unavailable.
        """
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            return b""
        if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            raise UnsupportedMediaType(AS_IT_IS, headers={"Accept-Encoding": "identity"})
        if headers.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            raise UnsupportedMediaType(_AS_IT_IS_SENT)
        if int(headers.get(b"content-length", b"0")) > self._limit:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await self._fill(body, receive)
        except TimeoutError:
            raise RequestTimeout(headers={"Connection": "close"}) from None
        finally:
            self._bytes -= _counted(body)
        return bytes(body)

    async def _fill(self, body: bytearray, receive: Receive) -> None:
        more = True
        while more:
            message = await receive()
            before = _counted(body)
            body += message.get("body", b"")
            self._bytes += _counted(body) - before
            more = message.get("more_body", False)
            if len(body) > self._limit:
                raise self._too_large()
            if self._bytes > self._limit_together and _counted(body):
                raise Unavailable("Too many large bodies are being sent. Try again.", headers={"Retry-After": "10"})

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self._limit:,} bytes.", data={"max_bytes": self._limit})


def _counted(body: bytearray) -> int:
    return len(body) if len(body) > SMALL_BODY_BYTES else 0


@dataclass(frozen=True, slots=True)
class BodyRequest:
    """A request whose body has not been read."""

    scope: Scope
    headers: Headers
    receive: Receive
    arguments: Mapping[str, str]  #: the variable parts of the address

    @property
    def announced(self) -> int | None:
        """The announced bytes of the body; None for a chunked body."""
        if b"transfer-encoding" in self.headers:
            return None
        return int(self.headers.get(b"content-length", b"0"))

    @property
    def has_body(self) -> bool:
        """Whether a body may follow."""
        return self.announced != 0

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()

    def require_plain(self) -> None:
        """Raise UnsupportedMediaType for a compressed body."""
        if self.headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            raise UnsupportedMediaType(AS_IT_IS)
        if self.headers.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            raise UnsupportedMediaType("Transfer-Encoding must be chunked or absent.")

    def number(self, name: str) -> int | None:
        """Return the number in a header; None without one. Raises MalformedRequest."""
        text = self.headers.get(name.lower().encode())
        if text is None:
            return None
        if not (text.isdigit() and len(text) <= 18):
            raise MalformedRequest(f"{name} must be a number of bytes, such as 0.")
        return int(text)


class BodyHandler(Protocol):
    """Stores the bodies of one operation on disk, before or after Flask handles it with an empty body."""

    async def before(self, request: BodyRequest) -> None:
        """Run before Flask; an exception is the response."""
        ...

    async def after(self, request: BodyRequest, answer: WSGIResponse) -> WSGIResponse:
        """Run after Flask; return the response to send."""
        ...
