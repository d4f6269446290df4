"""Clients that send requests and do not read, over real sockets: the limits of what they can block and hold."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx

from tests.e2e.conftest import Start
from tests.e2e.server import ServerProcess, until
from tests.lengths import length

MEGABYTE = 1 << 20
BUNDLE = "/docs/assets/swagger-ui-bundle.js"
PAGE = "/api/v1/system/logs?tail=2500"


@contextmanager
def silent_clients(server: ServerProcess, path: str, times: int = 1) -> Iterator[socket.socket]:
    """Open clients that have sent a request and never read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.settimeout(10)
    sock.connect(("127.0.0.1", server.port))
    with sock:
        sock.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode() * times)
        yield sock


def slowest(server: ServerProcess, *paths: str, rounds: int = 5) -> float:
    """Return the seconds of the slowest response."""
    took = []
    with httpx.Client(base_url=server.client.base_url, trust_env=False, timeout=10) as client:
        for path in paths * rounds:
            began = time.perf_counter()
            assert client.get(path).status_code == 200
            took.append(time.perf_counter() - began)
    return max(took)


def test_forty_clients_that_do_not_read_a_large_file_hold_no_thread(server: ServerProcess) -> None:
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(silent_clients(server, BUNDLE))
        assert slowest(server, "/health", "/api/v1/system/overview", "/api/v1/gpu/available") < 5.0


def test_client_that_leaves_three_requests_unread_leaves_nothing_behind(server: ServerProcess) -> None:
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(silent_clients(server, BUNDLE, times=3))
        time.sleep(0.5)
    assert slowest(server, "/health", "/api/v1/system/overview", "/api/v1/gpu/available") < 5.0


def test_stream_ends_with_its_client_although_another_request_is_queued_behind_it(server: ServerProcess) -> None:
    stream, later = "/api/v1/gpu/stream", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(f"GET {stream} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() + later)
        until(lambda: server.metrics()["diffusion_pipe_stream_subscribers"] == 1)
    until(lambda: server.metrics()["diffusion_pipe_stream_subscribers"] == 0)


def answer_of(server: ServerProcess, path: str) -> int:
    """Return the status; a 503 has Retry-After."""
    with httpx.Client(base_url=server.client.base_url, trust_env=False, timeout=15) as client:
        answer = client.get(path)
    assert answer.status_code == 200 or int(answer.headers["retry-after"]) > 0
    return answer.status_code


def fill_own_log(server: ServerProcess) -> None:
    """Write 2 MiB of request lines, each with 500 characters of its path."""
    for _ in range(3_000):
        assert server.client.get(f"/{'x' * 500}").status_code == 404
    until(lambda: len(server.client.get(PAGE).content) > 2_000_000)


def test_many_unread_long_pages_use_little_memory_and_block_no_client(start: Start) -> None:
    server = start()
    fill_own_log(server)
    before = server.memory()
    with ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(silent_clients(server, PAGE))
        seconds = slowest(server, "/health", rounds=20)
        time.sleep(1)
        seconds = max(seconds, slowest(server, "/health", rounds=5))
        # A client that does not read gives way to one that does.
        assert answer_of(server, "/api/v1/system/overview") in (200, 503)
        until(lambda: answer_of(server, "/api/v1/system/overview") == 200, timeout=40)
        highest = server.memory()
    assert (seconds < length(1.5, 3.0), highest - before < 256 * MEGABYTE) == (True, True), (seconds, highest - before)
