"""Flask in threads."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api.web.bodies.body import FlaskRunner, WSGIResponse
from tests.api.client import scope


def call(app: Any, body: bytes = b"", **changes: Any) -> WSGIResponse:
    return asyncio.run(FlaskRunner(app, 1).call(scope("http", "/there", **changes), body))


def test_response_is_complete_when_it_leaves_the_thread():
    closed = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            yield from [b"one"] * 100

        def close(self) -> None:
            closed.append(threading.current_thread().name)

    def app(environ, start):
        start("200 OK", [("X-Is", " there ")])
        return Parts()

    answer = call(app)
    assert (answer.status, answer.headers, answer.body) == (200, [(b"x-is", b"there")], b"one" * 100)
    assert [name[:4] for name in closed] == ["WSGI"]


def test_application_reads_the_body_without_waiting():
    def app(environ, start):
        start("201 CREATED", [])
        return [environ["wsgi.input"].read(2), environ["wsgi.input"].read()]

    assert call(app, b"a body").body == b"a body"


def test_exception_of_the_application_is_raised():
    def app(environ, start):
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        call(app)


def test_headers_with_underscores_are_removed():
    def app(environ, start):
        start("200 OK", [])
        return [environ.get("HTTP_IDEMPOTENCY_KEY", "none").encode()]

    assert call(app, headers=[(b"idempotency_key", b"x")]).body == b"none"
    assert call(app, headers=[(b"idempotency-key", b"y")]).body == b"y"
