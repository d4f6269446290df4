"""One connection, without a socket."""

import asyncio
from typing import Any
from unittest.mock import Mock

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
