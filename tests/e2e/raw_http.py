"""Raw bytes to and from a server, as unusual clients send them."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from tests.e2e.server import ServerProcess


@contextmanager
def dial(server: ServerProcess, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(sent)
        yield sock


def read_all(sock: socket.socket) -> bytes:
    """Read until the server closes the connection, or resets it because we are still sending."""
    parts = []
    end = time.monotonic() + 10
    try:
        while part := sock.recv(65536):
            parts.append(part)
            assert time.monotonic() < end, f"the answer does not end: {b''.join(parts)[:200]!r}"
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_one(sock: socket.socket) -> bytes:
    """Read one complete response on a connection that stays open; it may come in several pieces."""
    answer = b""
    while True:
        head, separator, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if separator and length is not None and len(body) >= int(length[1]):
            return answer
        part = sock.recv(65536)
        assert part, f"the answer is incomplete: {answer[:200]!r}"
        answer += part


def parse(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of the first response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer[:200]
    return int(head[9:12]), orjson.loads(body)


def exchange(server: ServerProcess, sent: bytes) -> tuple[int, dict[str, Any]]:
    with dial(server, sent) as sock:
        return parse(read_all(sock))


def assert_envelope(answer: tuple[int, dict[str, Any]], status: int, code: str) -> None:
    """Assert that a failure has the envelope, with the same status in it."""
    assert (answer[0], answer[1]["code"], answer[1]["error"]["code"]) == (status, status, code)
    assert answer[1].keys() == {"code", "message", "data", "timestamp", "error"}
    assert answer[1]["error"]["request_id"]
