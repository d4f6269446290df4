"""Flask in threads: a thread generates a complete response, and only the event loop waits for clients."""

import asyncio
import contextvars
import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, NamedTuple, cast
from wsgiref.types import WSGIApplication, WSGIEnvironment

from a2wsgi.wsgi import build_environ
from starlette.types import Scope

from api.util.documents import HeaderList


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
