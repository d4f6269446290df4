"""Reports to a head over HTTP."""

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from api.config import ConfigError
from api.nodes.head import HeadRejected, HeadUnreachable
from api.nodes.http_head import HTTPHead


class Answering(HTTPServer):
    """Responds to each POST with the next of `answers`, and stores the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.keys: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Answering)
        self.rfile.read(int(self.headers["Content-Length"]))
        server.keys.append(self.headers.get("Authorization"))
        status, body = server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Answering]:
    made = Answering()
    thread = Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def address(server: Answering) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_report_gets_a_receipt(server: Answering):
    server.answers = [(200, b'{"data": {"time": 1.5}}')]
    head = HTTPHead(address(server), None)
    assert head.send_report("gpu2", b"{}", 5) == {"time": 1.5}
    assert server.keys == [None]
    head.close()


def test_replaced_key_is_read_again(server: Answering, tmp_path: Path):
    file = tmp_path / "key"
    file.write_text("dp_old\n")
    head = HTTPHead(address(server), file)
    file.write_text("dp_new\n")
    server.answers = [(401, b'{"message": "revoked", "error": {"code": "unauthenticated"}}'), (200, b'{"data": {}}')]
    head.send_report("gpu2", b"{}", 5)
    assert server.keys == ["Bearer dp_old", "Bearer dp_new"]
    # From then on the node protects its metrics with the new key.
    assert head.key == "dp_new"
    head.close()


def test_refusal_has_its_reason(server: Answering):
    server.answers = [(409, b'{"message": "it is on box1", "error": {"code": "node_name_taken"}}')]
    head = HTTPHead(address(server), None)
    with pytest.raises(HeadRejected, match="node_name_taken: it is on box1"):
        head.send_report("gpu2", b"{}", 5)
    head.close()


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b""])
def test_invalid_response_counts_as_silence(server: Answering, body: bytes):
    server.answers = [(200, body)]
    head = HTTPHead(address(server), None)
    with pytest.raises(HeadUnreachable):
        head.send_report("gpu2", b"{}", 5)
    head.close()


def test_unreachable_head_counts_as_silence():
    head = HTTPHead("http://127.0.0.1:1", None)
    with pytest.raises(HeadUnreachable):
        head.send_report("gpu2", b"{}", 1)
    head.close()


@pytest.mark.parametrize("content", [None, "", "two\nlines"])
def test_key_file_without_a_key_is_refused(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(ConfigError):
        HTTPHead("http://127.0.0.1:1", tmp_path / "key")


def test_key_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    for place in (tmp_path / "key", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="no plain file"):
            HTTPHead("http://127.0.0.1:9", place)
