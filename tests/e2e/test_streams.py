"""Server-Sent Events and WebSockets as clients receive them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import orjson
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.e2e.conftest import Start
from tests.e2e.server import ServerProcess, until

STREAM = "/api/v1/gpu/stream"
#: 256 GPUs make a message of about 200 kB, five times a second: a buffer fills in seconds.


def read_events(server: ServerProcess, count: int) -> list[dict[str, Any]]:
    """Return the first events of a stream, each with its number and data."""
    events: list[dict[str, Any]] = []
    with server.client.stream("GET", STREAM) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        current: dict[str, Any] = {}
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                current["id"] = int(value)
            elif name == "data":
                current["data"] = orjson.loads(value)
            elif not line and current:
                events.append(current)
                current = {}
                if len(events) == count:
                    break
    return events


@contextmanager
def web_socket(server: ServerProcess, **kwargs: Any) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{server.port}/api/v1/ws/gpu", max_size=None, **kwargs) as web:
        yield web


def test_every_sweep_is_an_event(server: ServerProcess) -> None:
    numbers = [event["id"] for event in read_events(server, 6)]
    assert numbers == list(range(numbers[0], numbers[0] + 6))


@pytest.mark.quick
def test_registry_change_is_an_immediate_event(start: Start) -> None:
    server = start(GPU_MONITOR_INTERVAL="60")
    with web_socket(server) as web:
        web.recv(timeout=30)
        server.register(gpu_ids=[1], task_id="seen")
        tasks = (orjson.loads(web.recv(timeout=30))["data"]["gpus"][1]["current_task"] for _ in range(3))
        assert next(task for task in tasks if task)["task_id"] == "seen"


def test_silent_stream_sends_heartbeats(start: Start) -> None:
    server = start(GPU_MONITOR_INTERVAL="3600", GPU_STATUS_CHECK_TIMEOUT="3600")
    with (
        httpx.Client(base_url=server.client.base_url, timeout=20, trust_env=False) as client,
        client.stream("GET", STREAM) as response,
        web_socket(server) as web,
    ):
        web.recv(timeout=30)
        lines = response.iter_lines()
        comment = next(line for line in lines if line.startswith(":"))
        message = orjson.loads(web.recv(timeout=20))
    assert (comment, message["type"]) == (": heartbeat", "heartbeat")


def talk_until_closed(web: ClientConnection, message: str) -> None:
    for _ in range(50):
        web.send(message)
        web.recv(timeout=30)


def test_web_socket_client_that_sends_a_megabyte_is_closed_and_others_continue(server: ServerProcess) -> None:
    with web_socket(server) as other, web_socket(server) as web:
        with pytest.raises(ConnectionClosed):
            talk_until_closed(web, "x" * (1 << 20))
        assert web.close_code in (1009, 1006)
        assert other.recv(timeout=30)


def test_bytes_that_are_no_frames_end_only_that_web_socket(server: ServerProcess) -> None:
    with web_socket(server) as other, socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.settimeout(30)
        raw.sendall(
            b"GET /api/v1/ws/gpu HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert raw.recv(12) == b"HTTP/1.1 101"
        raw.sendall(b"\xff" * 4096)
        ended = until(lambda: raw.recv(65536) == b"" or None, timeout=10)
        assert ended
        assert other.recv(timeout=30)
    assert server.tracebacks() == []


def test_disconnected_clients_leave_nothing_behind(server: ServerProcess) -> None:
    until(lambda: server.metrics()["diffusion_pipe_stream_subscribers"] == 0)
    before = server.files()
    for _ in range(30):
        with web_socket(server) as web:
            web.recv(timeout=30)
        read_events(server, 1)
    server.client.get("/health")
    until(lambda: server.metrics()["diffusion_pipe_stream_subscribers"] == 0)
    until(lambda: server.files() <= before + 3)


def test_head_on_a_stream_ends(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.settimeout(30)
        raw.sendall(
            f"HEAD {STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        answers = b""
        while part := raw.recv(65536):
            answers += part
    assert answers.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    "frame", [b"\x89\x80\0\0\0\0", b"\x81\x80\0\0\0\0", b"\x01\x80\0\0\0\0"], ids=["pings", "texts", "fragments"]
)
def test_flood_of_tiny_frames_does_not_block_other_clients(start: Start, frame: bytes) -> None:
    server = start()
    ended = threading.Event()

    def flood() -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
            sock.sendall(WEB_SOCKET_REQUEST)
            sock.recv(65536)
            try:
                sock.sendall(frame)
                # A first fragment is followed by more of the same message.
                more = b"\x00" + frame[1:] if frame[0] == 1 else frame
                while not ended.is_set():
                    sock.sendall(more * 1_000)
            except OSError:
                return

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        with httpx.Client(base_url=server.client.base_url, timeout=30, trust_env=False) as client:
            for _ in range(100):
                assert client.get("/health").status_code == 200
    finally:
        ended.set()
        thread.join(10)


def stalled(server: ServerProcess, request: bytes) -> socket.socket:
    """Return a subscriber that sends a request and never reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(request)
    return sock


SSE_REQUEST = f"GET {STREAM} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
WEB_SOCKET_REQUEST = (
    b"GET /api/v1/ws/gpu HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def connections(server: ServerProcess) -> list[Any]:
    """Return the connections that are open on the server's side."""
    return [c for c in psutil.Process(server.pid).net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED]
