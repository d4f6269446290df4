"""The log lines about requests: one line each, whatever they contain."""

import socket
import time
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.server import ServerProcess, until


def requests(server: ServerProcess, **facts: Any) -> list[dict[str, Any]]:
    """Return the lines about requests that have these facts."""
    lines = [line for line in server.log() if line["message"] == "request"]
    return [line for line in lines if all(line.get(name) == value for name, value in facts.items())]


def send(server: ServerProcess, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(sent)
        received = b""
        while part := sock.recv(65536):
            received += part
        return received


def test_request_is_one_line_with_its_facts(server: ServerProcess) -> None:
    server.client.get("/api/v1/gpu/0/history?metric=power", headers={"X-Request-ID": "facts-1"})
    [line] = until(lambda: requests(server, request_id="facts-1"))
    assert (line["method"], line["path"], line["route"]) == (
        "GET",
        "/api/v1/gpu/0/history",
        "/api/v1/gpu/<gpu_id>/history",
    )
    assert (line["client"], line["level"]) == ("127.0.0.1", "INFO")
    assert 0 < line["duration_ms"] < 10_000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/api/v1/gpu/status", 200),
        ("GET", "/nothing", 404),
        ("POST", "/api/v1/gpu/status", 405),
        ("POST", "/api/v1/gpu/tasks", 415),
        ("HEAD", "/api/v1/gpu/status", 200),
        ("DELETE", "/api/v1/gpu/tasks/none", 404),
    ],
)
def test_every_request_is_logged_once_with_its_status(
    server: ServerProcess, method: str, path: str, status: int
) -> None:
    mark = f"once-{method}-{path.replace('/', '.')}"
    server.client.request(method, path, headers={"X-Request-ID": mark})
    lines = until(lambda: requests(server, request_id=mark))
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [(method, path, status)]


def test_request_id_is_returned_and_is_in_the_failure(server: ServerProcess) -> None:
    answer = server.client.get("/nothing", headers={"X-Request-ID": "given-1"})
    assert (answer.headers["x-request-id"], answer.json()["error"]["request_id"]) == ("given-1", "given-1")


@pytest.mark.parametrize(
    "hostile",
    [b'x","level":"ERROR', b"a b", b"a\tb", b"\x1b[31mred", b"\xc2\x9b31m", b"x" * 10_000, b"", b"%0a%0d", b"<b>"],
)
def test_hostile_request_id_is_replaced(server: ServerProcess, hostile: bytes) -> None:
    sent = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: " + hostile + b"\r\nConnection: close\r\n\r\n"
    received = send(server, sent)
    given = hostile.strip()
    if received.startswith(b"HTTP/1.1 200"):
        assert b"x-request-id: " + given + b"\r\n" not in received
    assert given == b"" or given not in server.log_path.read_bytes()


FORGED = "%0A%7B%22level%22:%22ERROR%22,%22message%22:%22forged%22%7D%0A"


@pytest.mark.parametrize(
    "path", [f"/x{FORGED}", "/x%0d%0aforged", "/x%1b%5b2Jforged", "/x%00forged", "/x%E2%80%A8forged", "/x%22,%22forged"]
)
def test_path_cannot_inject_a_line(start: Start, path: str) -> None:
    server = start()
    send(
        server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: forger\r\nConnection: close\r\n\r\n".encode()
    )
    until(lambda: requests(server, request_id="forger"))
    assert all("time" in line for line in server.log())
    assert [line for line in server.log() if line["message"] == "forged"] == []
    raw = server.log_path.read_bytes()
    assert not [byte for byte in raw if byte < 0x20 and byte != 0x0A]


def test_control_characters_beyond_ascii_do_not_reach_the_log(start: Start) -> None:
    # U+009B begins a terminal command as ESC [ does, and JSON does not escape it by itself.
    server = start()
    sent = b"GET /x%C2%9B31m%7F HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: forger\r\nConnection: close\r\n\r\n"
    send(server, sent)
    until(lambda: requests(server, request_id="forger"))
    raw = server.log_path.read_text()
    assert not [c for c in raw if 0x7F <= ord(c) <= 0x9F]


@pytest.mark.parametrize("path", [f"/x{FORGED}", "/x%1b%5b2Jforged", "/x%C2%9B31m", "/x%E2%80%AEforged"])
def test_path_cannot_inject_a_line_into_a_text_log(tmp_path_factory: Any, path: str) -> None:
    with TextServer(tmp_path_factory.mktemp("text"), {"LOG_FORMAT": "text"}) as server:
        sent = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: forger\r\nConnection: close\r\n\r\n"
        send(server, sent.encode())
        until(lambda: "forger" in server.log_text())
        lines = server.log_text().rstrip("\n").split("\n")
        assert all(line[:2] == "20" for line in lines)
        assert all(line.isprintable() for line in lines)


class TextServer(ServerProcess):
    """A server whose log is text."""

    __test__ = False

    def log(self) -> list[dict[str, Any]]:
        whole, _, _ = self.log_text().rpartition("\n")
        lines = whole.split("\n") if whole else []
        return [{"message": " ".join(line.split()[3:6])} for line in lines]


def test_refused_requests_are_logged(start: Start) -> None:
    server = start()
    send(server, b"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    until(lambda: requests(server, status=403))


def test_unparsable_request_is_logged(start: Start) -> None:
    server = start()
    send(server, b"\x16\x03\x01 nonsense\r\n\r\n")
    until(lambda: requests(server, status=400), timeout=3)


def test_requests_are_counted_by_route_not_by_path(start: Start) -> None:
    server = start()
    for i in range(30):
        server.client.get(f"/nothing/{i}")
        server.client.get(f"/api/v1/gpu/{i}")
        server.client.get(f"/api/v1/gpu/tasks/{i}")
    until(lambda: len(requests(server)) >= 90)
    time.sleep(0.2)
    routes = {name.split('route="')[1].split('"')[0] for name in server.metrics() if "http_requests_total{" in name}
    assert len(routes) <= 6


def test_secrets_in_the_query_are_not_logged(server: ServerProcess) -> None:
    server.client.get("/api/v1/gpu/available?token=s3cr3t-value", headers={"X-Request-ID": "secret-1"})
    until(lambda: requests(server, request_id="secret-1"))
    assert "s3cr3t-value" not in server.log_text()
