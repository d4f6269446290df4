"""Invalid and malicious input from clients, over real sockets."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

import httpx
import pytest

from tests.e2e.conftest import Start
from tests.e2e.raw_http import assert_envelope, dial, exchange, parse, read_all, read_one
from tests.e2e.server import ServerProcess, until

MEGABYTE = 1 << 20


class Dripping:
    """A client that sends a header byte each second until it is disconnected, while the other tests continue."""

    def __init__(self, server: ServerProcess) -> None:
        self.began = time.monotonic()
        self.seconds: float | None = None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._drip, args=(server,))
        self.thread.start()

    def _drip(self, server: ServerProcess) -> None:
        with dial(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") as sock:
            sock.settimeout(1)
            while not self.is_over.is_set() and not self._is_cut(sock):
                pass
        if not self.is_over.is_set():
            self.seconds = time.monotonic() - self.began

    @staticmethod
    def _is_cut(sock: socket.socket) -> bool:
        try:
            sock.sendall(b"a")
            return sock.recv(1000) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


@pytest.fixture(scope="module", autouse=True)
def dripping(server: ServerProcess) -> Iterator[Dripping]:
    started = Dripping(server)
    yield started
    started.is_over.set()
    started.thread.join(10)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"hello\r\n\r\n",
        b"\x00" * 64 + b"\r\n\r\n",
        b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET /hea\x00lth HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nBroken\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"POST /api/v1/gpu/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/gpu/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ",
        b"POST /api/v1/gpu/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/gpu/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_malformed_http_is_400_in_the_envelope(server: ServerProcess, sent: bytes) -> None:
    assert_envelope(exchange(server, sent), 400, "malformed_request")


def test_endless_headers_are_431_in_the_envelope(server: ServerProcess) -> None:
    with dial(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n") as sock:
        try:
            for i in range(5_000):
                sock.sendall(b"X-Filler-%d: %b\r\n" % (i, b"a" * 100))
        except (ConnectionResetError, BrokenPipeError):
            pass
        received = read_all(sock)
    assert_envelope(parse(received), 431, "headers_too_large")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\nConnection: close\r\n\r\n",
        b"GET /health?" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
    ids=["one large header", "a long address", "many headers"],
)
def test_oversized_headers_are_431_in_the_envelope(server: ServerProcess, sent: bytes) -> None:
    assert_envelope(exchange(server, sent), 431, "headers_too_large")


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "without"])
def test_hundred_megabytes_get_413_and_use_no_memory(server: ServerProcess, chunked: bool) -> None:
    before = server.memory()
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 104857600"
    head = (
        b"POST /api/v1/gpu/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%b\r\n\r\n" % length
    )
    part = b"x" * MEGABYTE
    highest = before
    with dial(server, head) as sock:
        try:
            for _ in range(100):
                sock.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
                highest = max(highest, server.memory())
        except (ConnectionResetError, BrokenPipeError):
            pass
        answer = read_one(sock)
    assert_envelope(parse(answer), 413, "body_too_large")
    assert highest - before < 40 * MEGABYTE


def test_next_request_is_answered_after_one_that_was_too_large(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.client.base_url, trust_env=False) as client:
        assert client.post("/api/v1/gpu/tasks", content=b"x" * 2 * MEGABYTE).status_code == 413
        assert client.get("/health").status_code == 200


def test_endless_trailers_use_no_memory(server: ServerProcess) -> None:
    before = server.memory()
    head = (
        b"POST /api/v1/gpu/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    )
    with dial(server, head) as sock:
        try:
            for i in range(100):
                sock.sendall(b"".join(b"X-%d-%d: %b\r\n" % (i, j, b"a" * 1000) for j in range(1000)))
        except (ConnectionResetError, BrokenPipeError):
            pass
        highest = server.memory()
    assert highest - before < 40 * MEGABYTE


def test_many_half_sent_requests_do_not_block_other_clients(server: ServerProcess) -> None:
    half_headers = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
    half_body = (
        b"POST /api/v1/gpu/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 60\r\n\r\n{"gpu_ids"'
    )
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(dial(server, half_headers))
        for _ in range(50):
            stack.enter_context(dial(server, half_body))
        took = []
        for path in ("/health", "/api/v1/gpu/status", "/api/v1/gpu/available") * 5:
            began = time.perf_counter()
            assert server.client.get(path).status_code == 200
            took.append(time.perf_counter() - began)
    assert median(took) < 1.0


def test_endless_headers_are_disconnected(dripping: Dripping) -> None:
    dripping.thread.join(max(0.0, dripping.began + 28 - time.monotonic()))
    assert dripping.seconds is not None
    assert dripping.seconds < 28


def test_hostile_clients_cause_no_server_error(start: Start) -> None:
    server = start()
    for sent in (b"\xff" * 100, b"GET /%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
        exchange(server, sent)
    until(lambda: any(line["message"] == "request" for line in server.log()))
    assert [line for line in server.log() if line["level"] == "ERROR"] == []


def test_flood_of_concurrent_requests_uses_little_memory(start: Start) -> None:
    server = start()
    before = highest = server.memory()
    with dial(server) as sock:
        sock.settimeout(2)
        try:
            for _ in range(200):
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000)
                highest = max(highest, server.memory())
        except OSError:
            # Either the connection is not read any more, or it is closed: both bound the memory.
            pass
        answers = server.client.get("/health").status_code
    assert (answers, highest - before < 80 * MEGABYTE) == (200, True)
