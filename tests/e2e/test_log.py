"""The log lines about requests: one line each, whatever they contain."""

import socket
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


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/api/v1/gpu/status", 200),
        ("GET", "/nothing", 404),
        ("POST", "/api/v1/gpu/status", 405),
        ("POST", "/api/v1/gpu/tasks", 415),
        ("HEAD", "/api/v1/gpu/status", 200),
    ],
)
def test_every_request_is_logged_once_without_its_query(
    server: ServerProcess, method: str, path: str, status: int
) -> None:
    mark = f"once-{method}-{path.replace('/', '.')}"
    server.client.request(method, f"{path}?token=s3cr3t-value", headers={"X-Request-ID": mark})
    lines = until(lambda: requests(server, request_id=mark))
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [(method, path, status)]
    assert "s3cr3t-value" not in server.log_text()


FORGED = "%0A%7B%22level%22:%22ERROR%22,%22message%22:%22forged%22%7D%0A"

#: U+009B begins a terminal command as ESC [ does, and JSON does not escape it by itself.
HOSTILE = [
    f"/x{FORGED}",
    *("/x%0d%0aforged", "/x%1b%5b2Jforged", "/x%00forged", "/x%E2%80%A8forged", "/x%22,%22forged"),
    *("/x%C2%9B31m%7F", "/x%E2%80%AEforged"),
]


def send_hostile_paths(server: ServerProcess) -> None:
    for number, path in enumerate(HOSTILE):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: forger-{number}\r\nConnection: close\r\n\r\n"
        send(server, head.encode())


def test_path_cannot_inject_a_line(start: Start) -> None:
    server = start()
    send_hostile_paths(server)
    until(lambda: all(requests(server, request_id=f"forger-{number}") for number in range(len(HOSTILE))))
    assert all("time" in line for line in server.log())
    assert [line for line in server.log() if line["message"] == "forged"] == []
    assert not [c for c in server.log_path.read_text() if (ord(c) < 0x20 and c != "\n") or 0x7F <= ord(c) <= 0x9F]


def test_path_cannot_inject_a_line_into_a_text_log(tmp_path_factory: Any) -> None:
    with TextServer(tmp_path_factory.mktemp("text"), {"LOG_FORMAT": "text"}) as server:
        send_hostile_paths(server)
        until(lambda: all(f"forger-{number}" in server.log_text() for number in range(len(HOSTILE))))
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


def test_refused_and_unparsable_requests_are_logged(start: Start) -> None:
    server = start()
    send(server, b"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    send(server, b"\x16\x03\x01 nonsense\r\n\r\n")
    until(lambda: requests(server, status=403) and requests(server, status=400))
