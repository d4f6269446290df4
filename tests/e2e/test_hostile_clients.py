"""What clients send by mistake or by malice, over real sockets."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import orjson
import pytest

from tests.e2e.conftest import Start
from tests.e2e.server import ServerProcess, until

MEGABYTE = 1 << 20


@contextmanager
def dial(server: ServerProcess, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(sent)
        yield sock


def read_all(sock: socket.socket) -> bytes:
    """Until the server ends the connection, or resets it because we are still sending."""
    parts = []
    end = time.monotonic() + 10
    try:
        while part := sock.recv(65536):
            parts.append(part)
            assert time.monotonic() < end, f"it goes on and on: {b''.join(parts)[:200]!r}"
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_one(sock: socket.socket) -> bytes:
    """One whole answer of a connection that stays open; it may come in several pieces."""
    answer = b""
    while True:
        head, separator, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if separator and length is not None and len(body) >= int(length[1]):
            return answer
        part = sock.recv(65536)
        assert part, f"it ended in the middle: {answer[:200]!r}"
        answer += part


def parse(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body of the first answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer[:200]
    return int(head[9:12]), orjson.loads(body)


def ask(server: ServerProcess, sent: bytes) -> tuple[int, dict[str, Any]]:
    with dial(server, sent) as sock:
        return parse(read_all(sock))


def envelope_of(answer: tuple[int, dict[str, Any]], status: int, code: str) -> None:
    """A failure in the envelope, with the true status in it."""
    assert (answer[0], answer[1]["code"], answer[1]["error"]["code"]) == (status, status, code)
    assert answer[1].keys() == {"code", "message", "data", "timestamp", "error"}
    assert answer[1]["error"]["request_id"]


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
def test_what_is_no_http_is_400_in_the_envelope(server: ServerProcess, sent: bytes) -> None:
    envelope_of(ask(server, sent), 400, "malformed_request")


def test_headers_without_end_are_431_in_the_envelope(server: ServerProcess) -> None:
    with dial(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n") as sock:
        try:
            for i in range(5_000):
                sock.sendall(b"X-Filler-%d: %b\r\n" % (i, b"a" * 100))
        except (ConnectionResetError, BrokenPipeError):
            pass
        received = read_all(sock)
    envelope_of(parse(received), 431, "headers_too_large")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\nConnection: close\r\n\r\n",
        b"GET /health?" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
    ids=["one large header", "a long address", "many headers"],
)
def test_headers_that_are_too_large_are_431_in_the_envelope(server: ServerProcess, sent: bytes) -> None:
    envelope_of(ask(server, sent), 431, "headers_too_large")


def test_two_host_headers_are_400(server: ServerProcess) -> None:
    sent = b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    envelope_of(ask(server, sent), 400, "malformed_request")


@pytest.mark.parametrize("header", [b"Origin: http://localhost", b"Authorization: Bearer x", b"Idempotency-Key: x"])
def test_two_headers_of_which_there_may_be_one_are_400(server: ServerProcess, header: bytes) -> None:
    sent = b"GET /health HTTP/1.1\r\nHost: localhost\r\n%b\r\n%b\r\nConnection: close\r\n\r\n" % (header, header)
    envelope_of(ask(server, sent), 400, "malformed_request")


@pytest.mark.parametrize("host", [b"Host: \r\n", b""])
def test_no_host_is_400(server: ServerProcess, host: bytes) -> None:
    sent = b"GET /health HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n"
    envelope_of(ask(server, sent), 400, "malformed_request")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "evil.example#localhost",
        "127.0.0.2",
        "0.0.0.0",
        "[::]",
        "localhost:80:80",
        "localhost:8x",
        "[::1",
        "\xe9vil",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/api/v1/gpu/status", "/api/v1/gpu/stream", "/nothing"])
def test_a_name_that_is_not_this_machines_is_403(server: ServerProcess, host: str, path: str) -> None:
    sent = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1")
    envelope_of(ask(server, sent), 403, "host_not_allowed")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "HEAD"])
def test_a_foreign_page_is_403_by_every_method(server: ServerProcess, method: str) -> None:
    answer = server.client.request(method, "/api/v1/gpu/tasks", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_form_is_415(server: ServerProcess, kind: str) -> None:
    body = b'{"gpu_ids":[0],"task_type":"training"}'
    answer = server.client.post("/api/v1/gpu/tasks", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 415


def test_a_body_whose_length_is_too_large_is_413_before_it_is_sent(server: ServerProcess) -> None:
    head = (
        b"POST /api/v1/gpu/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 104857600\r\n\r\n"
    )
    with dial(server, head) as sock:
        answer = read_one(sock)
    envelope_of(parse(answer), 413, "body_too_large")


def test_a_body_without_a_length_is_413_when_it_gets_too_large(server: ServerProcess) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(32):
            yield b"x" * 65536

    answer = server.client.post("/api/v1/gpu/tasks", content=parts(), headers={"Content-Type": "application/json"})
    envelope_of((answer.status_code, answer.json()), 413, "body_too_large")


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "without"])
def test_a_hundred_megabytes_get_413_and_take_no_memory(server: ServerProcess, chunked: bool) -> None:
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
    envelope_of(parse(answer), 413, "body_too_large")
    assert highest - before < 40 * MEGABYTE


def test_a_request_goes_on_after_one_that_was_too_large(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.client.base_url, trust_env=False) as client:
        assert client.post("/api/v1/gpu/tasks", content=b"x" * 2 * MEGABYTE).status_code == 413
        assert client.get("/health").status_code == 200


def test_trailers_without_end_take_no_memory(server: ServerProcess) -> None:
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


def test_many_half_sent_requests_do_not_keep_others_from_an_answer(server: ServerProcess) -> None:
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
    assert max(took) < 1.0


def test_headers_that_never_end_are_given_up(server: ServerProcess) -> None:
    with dial(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") as sock:
        sock.settimeout(1)

        def dropped() -> bool:
            try:
                sock.sendall(b"a")
                return sock.recv(1000) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        until(dropped, timeout=28)


def test_requests_sent_at_once_are_answered_in_order(server: ServerProcess) -> None:
    paths = ["/health", "/api/v1/gpu/0", "/api/v1/gpu/available", "/nothing", "/api/v1/gpu/status"] * 4
    requests = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: n-{i}\r\n" for i, path in enumerate(paths)]
    sent = "\r\n".join(requests) + "Connection: close\r\n\r\n"
    with dial(server, sent.encode()) as sock:
        received = read_all(sock)
    ids = [part.split(b"\r\n")[0] for part in received.split(b"x-request-id: ")[1:]]
    assert ids == [b"n-%d" % i for i in range(len(paths))]


def test_http_1_0_is_answered_and_closed(server: ServerProcess) -> None:
    with dial(server, b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n") as sock:
        status, body = parse(read_all(sock))
    assert (status, body["code"]) == (200, 200)


def test_a_get_with_a_body_is_answered_and_the_connection_goes_on(server: ServerProcess) -> None:
    body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n"
    one = b"GET /api/v1/gpu/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    two = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with dial(server, one + two) as sock:
        received = read_all(sock)
    assert received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/gpu/%00",
        "/api/v1/gpu/0%00/details",
        "/api/v1/gpu/..%2f..%2fetc%2fpasswd",
        "/docs/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/docs/assets/../../../../etc/passwd",
        "/docs/assets/%2e%2e/%2e%2e/api/app.py",
        "/docs/assets//etc/passwd",
        "/docs/assets/%00",
        "/api/v1/gpu/%ff%fe",
        "/api/v1/gpu/tasks/%0d%0aSet-Cookie:x=1",
        "//api/v1/gpu/status",
        "/api//v1/gpu/status",
        "/api/v1/gpu/-1",
        "/api/v1/gpu/None",
        "/api/v1/gpu/1e0",
        "/api/v1/gpu/%EF%BC%90",
        "/api/v1/gpu/" + "9" * 5000,
        "/%",
        "/%zz",
        "/..",
        "/;",
    ],
)
def test_an_odd_path_is_404_in_the_envelope(server: ServerProcess, path: str) -> None:
    answer = ask(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
    assert (answer[0], answer[1]["code"]) == (404, 404)
    assert answer[1]["error"]["code"].endswith("not_found")


@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        (b"min_memory=%ff%fe", {422}),
        (b"min_memory=\xff\xfe", {400, 422}),
        (b"&".join(b"a%d=1" % i for i in range(5_000)), {422}),
        (b"min_memory=" + b"9" * 5_000, {422}),
        (b"min_memory=1e400", {422}),
        (b"min_memory=nan", {422}),
        (b"min_memory=1&min_memory=2", {200, 422}),
        (b"count=0", {422}),
        (b"count=-1", {422}),
        (b"task_type=%00", {422}),
        (b"model_type=" + b"%F0%9F%92%A9" * 100, {422}),
        (b"=&&=", {200, 422}),
    ],
)
def test_an_odd_query_is_no_server_error(server: ServerProcess, query: bytes, statuses: set[int]) -> None:
    sent = b"GET /api/v1/gpu/available?" + query + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert ask(server, sent)[0] in statuses


ROUTES = [
    "/health",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/api/v1/metrics",
    "/api/v1/gpu/status",
    "/api/v1/gpu/summary",
    "/api/v1/gpu/available",
    "/api/v1/gpu/events",
    "/api/v1/gpu/tasks",
    "/api/v1/gpu/0",
    "/api/v1/gpu/0/details",
    "/api/v1/gpu/0/processes",
    "/api/v1/gpu/0/history",
    "/api/v1/gpu/stream",
    "/api/v1/system/overview",
]


@pytest.mark.parametrize("path", ROUTES)
def test_head_answers_as_get_without_the_body(server: ServerProcess, path: str) -> None:
    with dial(server, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()) as sock:
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert (head[:12], body) == (b"HTTP/1.1 200", b"")


@pytest.mark.parametrize("path", ROUTES)
def test_options_says_what_is_allowed(server: ServerProcess, path: str) -> None:
    answer = server.client.request("OPTIONS", path)
    assert answer.status_code in (200, 204)
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["PUT", "PROPFIND", "TRACE", "CONNECT"])
def test_a_method_that_is_not_taken_is_405_in_the_envelope(server: ServerProcess, method: str, path: str) -> None:
    answer = ask(server, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    envelope_of(answer, 405, "method_not_allowed")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
def test_405_says_what_is_allowed(server: ServerProcess, method: str) -> None:
    answer = server.client.request(method, "/api/v1/gpu/status")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"NaN",
        b'{"gpu_ids": [0], "task_type": "training", "task_type": "x"}',
        b'{"gpu_ids": [' + b"0," * 100_000 + b'0], "task_type": "training"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"gpu_ids": ["\\ud800"], "task_type": "training"}',
        b'{"gpu_ids": [1e999], "task_type": "training"}',
        b'{"gpu_ids": [true], "task_type": "training"}',
        b"\xff\xfe{}",
        b'\xef\xbb\xbf{"gpu_ids": [0], "task_type": "training"}',
        b'{"gpu_ids": [0], "task_type": "training", "pid": 99999999999999999999}',
        b'{"gpu_ids": [0], "task_type": "training", "__class__": {}}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_an_odd_body_is_400_or_422_and_registers_nothing(server: ServerProcess, body: bytes) -> None:
    answer = server.client.post("/api/v1/gpu/tasks", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert server.get("/gpu/tasks")["tasks"] == []


def test_nothing_of_all_this_was_a_server_error(start: Start) -> None:
    server = start()
    for sent in (b"\xff" * 100, b"GET /%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
        ask(server, sent)
    until(lambda: any(line["message"] == "request" for line in server.log()))
    assert [line for line in server.log() if line["level"] == "ERROR"] == []


def test_a_flood_of_requests_at_once_takes_little_memory(start: Start) -> None:
    server = start()
    before = highest = server.memory()
    with dial(server) as sock:
        sock.settimeout(2)
        try:
            for _ in range(200):
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000)
                highest = max(highest, server.memory())
        except OSError:
            # Not read from any more, or ended: both keep the memory.
            pass
        answers = server.client.get("/health").status_code
    assert (answers, highest - before < 80 * MEGABYTE) == (200, True)
