"""The composed parts of a node, with a fake head."""

import logging
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import orjson
import pytest

from api.composition.node import HTTPHead, NodeRuntime
from api.config import Config, ConfigError, read_config
from api.errors import Unavailable
from api.nodes.head import FakeHead, HeadRejected, HeadUnreachable


def node(head: FakeHead | None = None, **settings: object) -> NodeRuntime:
    given = {"role": "node", "head_url": "http://127.0.0.1:1", "node_name": "gpu2", "gpu_source": "simulated"}
    return NodeRuntime(Config(**{**given, **settings}), 8081, head=head or FakeHead())  # type: ignore[arg-type]


def test_node_reports_to_its_head_and_leaves_no_thread():
    before = set(threading.enumerate())
    head = FakeHead()
    head.answer = {"time": 0.0, "held": [], "drain": None, "warnings": []}
    runtime = node(head)
    with pytest.raises(Unavailable):
        runtime.get_readiness()
    runtime.start()
    runtime.reporter.send_report()
    assert runtime.get_health().status == "ok"
    assert runtime.get_readiness().status == "ready"
    runtime.stop()
    assert orjson.loads(head.reports[-1])["report"]["leaves"] is True
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()] == []


@pytest.mark.parametrize(
    ("stored", "own", "used"),
    [
        ({"LOG_LEVEL": "error"}, {}, "ERROR"),
        ({"LOG_LEVEL": "error"}, {"log_level": "WARNING"}, "WARNING"),
        ({"LOG_LEVEL": "LOUD"}, {}, "INFO"),
        (["LOG_LEVEL"], {}, "INFO"),
        ({}, {}, "INFO"),
    ],
)
def test_head_sets_the_log_level_unless_the_environment_does(
    stored: object, own: dict[str, str], used: str, monkeypatch: pytest.MonkeyPatch
):
    levels = [own.get("log_level", "INFO")]
    monkeypatch.setattr(logging.getLogger(), "setLevel", levels.append)
    head = FakeHead()
    head.answer = {"time": 0.0, "held": [], "drain": None, "warnings": [], "settings": stored}
    runtime = node(head, **own)
    runtime.reporter.send_report()
    assert (levels[-1], runtime.reporter.problem) == (used, None)
    # The value was removed at the head.
    head.answer = {"time": 0.0, "held": [], "drain": None, "warnings": []}
    runtime.reporter.send_report()
    assert levels[-1] == own.get("log_level", "INFO")


def test_node_with_an_unreachable_head_is_degraded_and_counts_it():
    head = FakeHead()
    head.answer = HeadUnreachable("ConnectError")
    runtime = node(head)
    runtime.reporter.send_report()
    assert runtime.get_health().problems == ("it does not answer (ConnectError)",)
    table = runtime.gpus.documents.get("/metrics")
    assert table is not None
    assert b"diffusion_pipe_node_head_up 0" in table.body


def test_nodes_have_different_simulated_gpus():
    names = [node(node_name=name).gpus._source._gpus[0].identity.uuid for name in ("gpu2", "gpu3", "gpu2")]  # type: ignore[attr-defined]
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize("settings", [{"node_name": "a b"}, {"auth": "required"}])
def test_unusable_settings_are_refused(settings: dict[str, str]):
    with pytest.raises(ConfigError):
        node(**settings)


def test_node_requires_a_head():
    with pytest.raises(ConfigError, match="HEAD_URL"):
        read_config({"ROLE": "node"}, dotenv_path=None)


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
