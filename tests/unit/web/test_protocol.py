"""One connection, without a socket."""

import asyncio
import gc
import weakref
from typing import Any
from unittest.mock import Mock
from urllib.parse import unquote_to_bytes

import pytest
import uvicorn
from uvicorn.server import ServerState

from api.web.protocol import HTTPProtocol, WebSocketProtocol


class App:
    """Responds immediately, whatever has arrived of a body, and stores the requests."""

    def __init__(self) -> None:
        self.unread = Mock()
        self.note_refusal = Mock()
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class WholeAnswers(App):
    """Sends each response as a whole; the header X comes from the query."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        headers = [(b"content-length", b"2"), (b"x", unquote_to_bytes(scope["query_string"]))]
        await scope["extensions"]["send_whole"](200, headers, b"{}")


def connect(kind: Any, app: App) -> tuple[Any, Mock]:
    transport = Mock()
    transport.is_closing.return_value = False
    transport.get_extra_info.return_value = None
    config = uvicorn.Config(app, ws_per_message_deflate=False, log_config=None, access_log=False)  # type: ignore[arg-type]
    config.load()
    protocol = kind(config, ServerState(), {})
    protocol.connection_made(transport)
    return protocol, transport


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n"])
@pytest.mark.parametrize("trickle", [b"\r\n", b"\r"])
def test_idle_connection_that_trickles_ends_like_a_silent_one(request_line: bytes, trickle: bytes):
    async def play() -> None:
        protocol, transport = connect(HTTPProtocol, App())
        protocol.data_received(request_line + b"Host: localhost\r\n\r\n")
        await asyncio.sleep(0)
        end = protocol.timeout_keep_alive_task
        protocol.data_received(trickle)
        assert protocol.timeout_keep_alive_task is end
        assert not end.cancelled()
        protocol.timeout_keep_alive_handler()
        transport.close.assert_called_once()

    asyncio.run(play())


def test_next_request_ends_the_keep_alive_timeout():
    async def play() -> None:
        protocol, _ = connect(HTTPProtocol, App())
        protocol.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(0)
        end = protocol.timeout_keep_alive_task
        protocol.data_received(b"GE")
        assert end.cancelled()

    asyncio.run(play())


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"/a?b=http://c/", b"localhost"),
        (b"http://evil.example/a", b"evil.example"),
        (b"HTTP://evil.example:80/?a", b"evil.example:80"),
    ],
)
def test_absolute_target_determines_the_host(target: bytes, host: bytes):
    async def play() -> None:
        app = App()
        protocol, _ = connect(HTTPProtocol, app)
        protocol.data_received(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(0)
        assert dict(app.scopes[0]["headers"])[b"host"] == host

    asyncio.run(play())


@pytest.mark.parametrize(
    "header", [b"Sec-WebSocket-Protocol: " + b"a," * 5000, b"Content-Length: 5", b"X: " + b"x" * 9000]
)
def test_handshake_rejected_by_the_library_is_answered_and_closed(header: bytes):
    async def play() -> None:
        app = App()
        protocol, transport = connect(WebSocketProtocol, app)
        protocol.data_received(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + header + b"\r\n\r\n"
        )
        assert transport.write.call_args.args[0].startswith(b"HTTP/1.1 400 ")
        transport.close.assert_called_once()
        app.note_refusal.assert_called_once()

    asyncio.run(play())


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: a\r\n"


@pytest.mark.parametrize(
    ("request_line", "answer", "is_closed"),
    [
        (b"GET /?a HTTP/1.1", HEAD + b"\r\n{}", False),
        (b"HEAD /?a HTTP/1.1", HEAD + b"\r\n", False),
        (b"GET /?a HTTP/1.0", HEAD + b"connection: close\r\n\r\n{}", True),
        (b"GET /?a HTTP/1.1\r\nConnection: close", HEAD + b"connection: close\r\n\r\n{}", True),
    ],
)
def test_whole_response_is_one_write(request_line: bytes, answer: bytes, is_closed: bool):
    async def play() -> None:
        protocol, transport = connect(HTTPProtocol, WholeAnswers())
        protocol.data_received(request_line + b"\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(0)
        transport.write.assert_called_once_with(answer)
        assert transport.close.called == is_closed

    asyncio.run(play())


def test_answered_request_is_freed_without_garbage_collection():
    class Forgetful(WholeAnswers):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            requests.append(weakref.ref(receive.__self__))
            await super().__call__(scope, receive, send)
            self.scopes.clear()

    async def play() -> None:
        protocol, _ = connect(HTTPProtocol, Forgetful())
        gc.disable()
        try:
            for _ in range(2):
                protocol.data_received(b"GET /?a HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await asyncio.sleep(0)
            assert requests[0]() is None
        finally:
            gc.enable()

    requests: list[weakref.ref[Any]] = []
    asyncio.run(play())


@pytest.mark.parametrize("value", [b"%0aset-cookie:b", b"%0d", b"%0d%0a%0d%0a"])
def test_whole_response_with_a_line_break_in_a_header_is_not_sent(value: bytes):
    async def play() -> None:
        protocol, transport = connect(HTTPProtocol, WholeAnswers())
        protocol.data_received(b"GET /?" + value + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(0)
        assert transport.write.call_args_list[0].args[0].startswith(b"HTTP/1.1 500 ")

    asyncio.run(play())


def test_whole_response_waits_for_a_client_that_does_not_read():
    async def play() -> None:
        protocol, transport = connect(HTTPProtocol, WholeAnswers())
        protocol.pause_writing()
        protocol.data_received(b"GET /?a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(0)
        transport.write.assert_not_called()
        protocol.resume_writing()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        transport.write.assert_called_once()

    asyncio.run(play())


def test_second_response_to_a_request_does_not_become_that_of_the_next_one():
    class Twice(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            send_whole = scope["extensions"]["send_whole"]
            await send_whole(200, [(b"content-length", b"2")], b"{}")
            with pytest.raises(RuntimeError):
                await send_whole(200, [(b"content-length", b"2")], b"{}")

    async def play() -> None:
        protocol, transport = connect(HTTPProtocol, Twice())
        protocol.data_received(b"GET /?a HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        for _ in range(4):
            await asyncio.sleep(0)
        assert transport.write.call_count == 2

    asyncio.run(play())


def test_only_the_first_of_several_requests_is_answered_at_once():
    async def play() -> None:
        app = WholeAnswers()
        protocol, transport = connect(HTTPProtocol, app)
        protocol.data_received(b"GET /?a HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        assert len(app.scopes) <= 1
        for _ in range(4):
            await asyncio.sleep(0)
        assert [call.args[0] for call in transport.write.call_args_list] == [HEAD + b"\r\n{}"] * 3

    asyncio.run(play())
