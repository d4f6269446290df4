"""Uploads over cuts, kills and restarts, and on two servers that share a storage."""

import hashlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.uploads import PART, TUS, encode
from tests.e2e.server import BASE, until
from tests.e2e.training_server import TrainingServer
from tests.patience import BUSY_SECONDS

SIZE = 3_000_000
CONTENT = random.Random(1).randbytes(SIZE)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path / "server") as started:
        yield started


def begin(server: TrainingServer, name: str = "x.png") -> str:
    said = {"Upload-Length": str(SIZE), "Upload-Metadata": encode(dataset="cats", filename=name)}
    return str(server.client.post(f"{BASE}/uploads", headers={**TUS, **said}).headers["location"])


def offset(server: TrainingServer, url: str) -> int:
    return int(server.client.head(url, headers=TUS).headers["upload-offset"])


def send(server: TrainingServer, url: str, at: int, content: bytes) -> Any:
    return server.client.patch(url, content=content, headers={**TUS, "Content-Type": PART, "Upload-Offset": str(at)})


def send_some(server: TrainingServer, url: str, at: int, content: bytes) -> socket.socket:
    """Open a request for all the rest, and send only this part."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"PATCH {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nContent-Type: {PART}\r\n"
    connection.sendall(f"{head}Upload-Offset: {at}\r\nContent-Length: {SIZE - at}\r\n\r\n".encode() + content)
    return connection


def finish(server: TrainingServer, url: str) -> None:
    def send_rest() -> bool:
        at = offset(server, url)
        return at == SIZE or bool(send(server, url, at, CONTENT[at:]).status_code == 204)

    # An interrupted request may still be writing.
    until(send_rest, what="the rest")
    until(lambda: server.get(url.removeprefix(BASE))["status"] == "completed", what="its version")
    items = server.get("/datasets/cats/items")["items"]
    assert {item["sha256"] for item in items} == {hashlib.sha256(CONTENT).hexdigest()}


def test_upload_continues_after_cuts_and_kills(server: TrainingServer):
    url, chance = begin(server), random.Random(2)
    for number, cut in enumerate(sorted(chance.sample(range(1, SIZE), 5))):
        at = offset(server, url)
        assert CONTENT.startswith((server.root / "datasets/uploads" / url.rpartition("/")[2]).read_bytes()[:at])
        with send_some(server, url, at, CONTENT[at:cut]):
            if number % 2 == 0:
                server.kill()
                server.start()
    finish(server, url)


def test_two_servers_on_one_storage_write_one_upload_in_turns(server: TrainingServer, tmp_path: Path):
    url = begin(server)
    with TrainingServer(tmp_path / "other", STORAGE_ROOT=str(server.root)) as other:
        with send_some(server, url, 0, CONTENT[:1000]):
            until(lambda: offset(other, url) == 1000 or send(other, url, 0, b"x").status_code == 409, what="a writer")
            assert send(other, url, 0, CONTENT[:10]).json()["error"]["code"] == "upload_conflict"
        until(lambda: send(other, url, offset(other, url), CONTENT[1000:2000]).status_code == 204, what="its turn")
        assert offset(server, url) == 2000
        finish(server, url)
        assert other.get(url.removeprefix(BASE))["status"] == "completed"


def test_slow_client_blocks_no_other(server: TrainingServer):
    urls = [begin(server, f"{number}.png") for number in range(30)]
    open_ = [send_some(server, url, 0, b"x") for url in urls]
    try:
        assert server.get("/training/list")["tasks"] == []
        assert server.client.get("/health").elapsed.total_seconds() < 1 + BUSY_SECONDS
        finish(server, begin(server))
    finally:
        for connection in open_:
            connection.close()
