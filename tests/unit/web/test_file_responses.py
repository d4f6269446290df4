"""Files and logs as responses, whole or in part."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.domain.log import LogPart
from api.errors import MalformedRequest, RangeNotSatisfiable
from api.util.files.stored_form import StreamedFile
from api.web import file_responses as downloads
from api.web.file_responses import LogDownload, read_range, send_download

CONTENT = b"0123456789"


@dataclass(frozen=True)
class File:
    descriptor: int
    name: str
    size: int
    modified_at: float = 1_700_000_000.0


class Client:
    """The data that one client receives."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.was_cut = False

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")

    def abort(self) -> None:
        self.was_cut = True


Download = Callable[..., Client]
Make = Callable[[], Any]


def opened(path: Path) -> int:
    path.write_bytes(CONTENT)
    return os.open(path, os.O_RDONLY)


@pytest.fixture(params=["file", "log"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Create a file, or a log of one segment, with the same bytes."""

    def of(_: str = request.param) -> Any:
        descriptor = opened(tmp_path / "x")
        if request.param == "log":
            return LogDownload("x.log", (LogPart(descriptor, len(CONTENT)),), first=0)
        return File(descriptor, "x", len(CONTENT))

    return of


def ask(file: Any, method: str = "GET", send: Callable[[Any], Awaitable[None]] | None = None, **headers: str) -> Client:
    client = Client()

    async def receive() -> Any:
        await asyncio.sleep(60)

    scope = {
        "type": "http",
        "method": method,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"connection": client},
    }
    asyncio.run(send_download(file, scope, receive, send or client.send))
    return client


def test_whole_file_is_sent_with_its_length_and_closed(make: Make):
    file = make()
    client = ask(file)
    assert (client.status, client.body, client.headers["content-length"]) == (200, CONTENT, "10")
    assert client.headers["content-disposition"].startswith("attachment")
    descriptor = file.parts[0].descriptor if isinstance(file, LogDownload) else file.descriptor
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_unchanged_file_is_not_sent_again(tmp_path: Path):
    def file() -> File:
        return File(os.open(path, os.O_RDONLY), "x", len(CONTENT))

    path = tmp_path / "x"
    os.close(opened(path))
    etag = ask(file()).headers["etag"]
    for wanted, status in ((etag, 304), (f'"other", {etag}', 304), ("*", 304), ('"other"', 200)):
        client = ask(file(), if_none_match=wanted)
        assert (client.status, client.body, client.headers["etag"]) == (status, CONTENT * (status == 200), etag)


def test_head_has_only_the_headers(make: Make):
    client = ask(make(), "HEAD")
    assert (client.status, client.body, client.headers["content-length"]) == (200, b"", "10")


@pytest.mark.parametrize(
    ("wanted", "body", "place"),
    [("bytes=2-4", b"234", "bytes 2-4/10"), ("bytes=8-", b"89", "bytes 8-9/10"), ("bytes=-3", b"789", "bytes 7-9/10"),
     ("bytes=0-99", CONTENT, "bytes 0-9/10")],
)  # fmt: skip
def test_requested_range_is_sent(make: Make, wanted: str, body: bytes, place: str):
    client = ask(make(), range=wanted)
    assert (client.status, client.body, client.headers["content-range"]) == (206, body, place)


def test_range_beyond_the_end_is_refused_with_the_size(make: Make):
    with pytest.raises(RangeNotSatisfiable, match="has 10 bytes") as refused:
        ask(make(), range="bytes=10-")
    assert refused.value.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("wanted", ["bytes=--1", "bytes=+0-1", "bytes=5-2"])
def test_invalid_range_is_malformed(make: Make, wanted: str):
    with pytest.raises(MalformedRequest):
        ask(make(), range=wanted)


def test_range_of_a_changed_log_is_the_whole(tmp_path: Path):
    def log() -> LogDownload:
        return LogDownload("x.log", (LogPart(opened(tmp_path / "x"), len(CONTENT)),), first=5)

    tag = ask(log()).headers["etag"]
    assert ask(log(), range="bytes=0-1", if_range=tag).status == 206
    assert ask(log(), range="bytes=0-1", if_range='"other"').status == 200


def test_client_that_stops_reading_a_log_is_disconnected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(downloads, "SEND_SECONDS", 0.01)
    log = LogDownload("x.log", (LogPart(opened(tmp_path / "x"), len(CONTENT)),), first=0)

    async def stuck(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    assert ask(log, send=stuck).was_cut


def test_log_that_became_shorter_is_cut_off(tmp_path: Path):
    descriptor = opened(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"0")
    assert ask(LogDownload("x.log", (LogPart(descriptor, len(CONTENT)),), first=0)).was_cut


def test_control_characters_are_removed_from_the_name(tmp_path: Path):
    client = ask(File(opened(tmp_path / "x"), "a\x1b\nb.txt", len(CONTENT)))
    assert client.headers["content-disposition"] == 'attachment; filename="a__b.txt"'


def test_time_beyond_the_calendar_is_limited(tmp_path: Path):
    descriptor = opened(tmp_path / "x")
    os.utime(tmp_path / "x", (2**40, 2**40))
    assert ask(File(descriptor, "x", len(CONTENT), 2.0**40)).headers["last-modified"]


def test_modification_time_is_that_of_the_file_object(tmp_path: Path):
    # A blob's own time is a marker between 1970 and 1978.
    descriptor = opened(tmp_path / "x")
    os.utime(tmp_path / "x", (1_000_000, 1_000_000))
    client = ask(File(descriptor, "x", len(CONTENT)))
    assert client.headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"


def streamed(*parts: bytes, fault: Exception | None = None) -> StreamedFile:
    def make() -> Iterator[bytes]:
        yield from parts
        if fault is not None:
            raise fault

    return StreamedFile('a"\n.zip', "application/zip", make())


def test_generated_stream_is_sent_completely():
    sent = ask(streamed(b"one", b"two"), range="bytes=0-1")
    assert (sent.status, sent.body, sent.headers["accept-ranges"]) == (200, b"onetwo", "none")
    assert sent.headers["content-disposition"] == 'attachment; filename="a__.zip"'
    assert "content-length" not in sent.headers


def test_stream_that_fails_has_no_end():
    sent = ask(streamed(b"one", fault=OSError(5, "Input/output error")))
    assert (sent.body, sent.was_cut) == (b"one", True)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (b"bytes=0-9", (0, 9)),
        (b"bytes=5-", (5, None)),
        (b"bytes=-5", (None, 5)),
        (b"BYTES= 0 - 9", (0, 9)),
        (b"", None),
        (b"bytes=0-1,5-6", None),
    ],
)
def test_range_is_read(header: bytes, wanted: tuple[int | None, int | None] | None):
    assert read_range(header) == wanted


@pytest.mark.parametrize(
    "header",
    [
        b"bytes=-",
        b"bytes=5-2",
        b"bytes=--1",
        b"bytes=+0-1",
        b"bytes=0x0-0x5",
        b"lines=0-1",
        b"bytes=0-" + b"9" * 5000,
        "bytes=٣-٤".encode(),
        b"bytes=0-1;q=1",
    ],
)
def test_invalid_range_is_refused(header: bytes):
    with pytest.raises(MalformedRequest):
        read_range(header)
