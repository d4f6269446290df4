"""Unusual but valid HTTP requests: paths, queries, methods."""

import pytest

from tests.e2e.raw_http import assert_envelope, dial, exchange, parse, read_all
from tests.e2e.server import ServerProcess

pytestmark = pytest.mark.quick


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
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


def test_get_with_a_body_is_answered_and_the_connection_stays_open(server: ServerProcess) -> None:
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
def test_odd_path_is_404_in_the_envelope(server: ServerProcess, path: str) -> None:
    answer = exchange(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
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
def test_odd_query_is_no_server_error(server: ServerProcess, query: bytes, statuses: set[int]) -> None:
    sent = b"GET /api/v1/gpu/available?" + query + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert exchange(server, sent)[0] in statuses


@pytest.mark.parametrize("method", ["PUT", "PROPFIND", "TRACE", "CONNECT"])
def test_unsupported_method_is_405_in_the_envelope(server: ServerProcess, method: str) -> None:
    sent = f"{method} /api/v1/gpu/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert_envelope(exchange(server, sent.encode()), 405, "method_not_allowed")
