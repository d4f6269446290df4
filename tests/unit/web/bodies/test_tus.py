import asyncio
from typing import Any
from unittest.mock import patch

import pytest

from api.errors import MalformedRequest, TusVersionUnknown, UploadConflict
from api.web.bodies import tus as tus_module
from api.web.bodies.body import BodyRequest
from api.web.bodies.body_streamer import BodyStreamer, DiskThreads
from api.web.bodies.tus import Tus, read_checksum
from api.web.bodies.upload_writer import Checksum
from api.web.reply import ClientGone


class BusyUploads:
    """Uploads that another writer holds for so many attempts."""

    def __init__(self, tries: int, error: UploadConflict) -> None:
        self.tries = tries
        self.error = error
        self.requests = 0
        self.closed: list[bool] = []
        self.written = bytearray()

    def open(self, upload_id: str, offset: int | None, announced: int | None, checksum: Checksum | None) -> Any:
        self.requests += 1
        if self.requests <= self.tries:
            raise self.error
        return self

    def write(self, part: bytearray) -> None:
        self.written += part

    def close(self, incoming: Any, *, is_whole: bool) -> Any:
        self.closed.append(is_whole)
        return incoming


def tus(uploads: Any = None) -> Tus:
    return Tus(uploads, BodyStreamer(DiskThreads()), 1000)


def take(uploads: BusyUploads, *messages: dict[str, Any]) -> None:
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    request = BodyRequest({}, {}, receive, {})
    with patch.object(tus_module, "_TRY_SECONDS", 0):
        asyncio.run(tus(uploads).take(request, "one", 0))


LAST = {"type": "http.request", "body": b"abc", "more_body": False}


def test_next_request_waits_a_moment_for_the_previous_one():
    uploads = BusyUploads(4, UploadConflict())
    take(uploads, LAST)
    assert (uploads.requests, uploads.written, uploads.closed) == (5, b"abc", [True])


def test_second_writer_is_refused_if_the_first_continues():
    uploads = BusyUploads(100, UploadConflict())
    with pytest.raises(UploadConflict):
        take(uploads, LAST)
    assert (uploads.requests, uploads.closed) == (5, [])


def test_wrong_offset_is_reported_immediately():
    uploads = BusyUploads(100, UploadConflict(data={"offset": 3}))
    with pytest.raises(UploadConflict):
        take(uploads, LAST)
    assert uploads.requests == 1


def test_upload_is_released_when_the_client_disconnects():
    uploads = BusyUploads(0, UploadConflict())
    with pytest.raises(ClientGone):
        take(uploads, {"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.disconnect"})
    assert (uploads.written, uploads.closed) == (b"ab", [False])


def scope(method: str, path: str) -> dict[str, Any]:
    return {"method": method, "path": path}


@pytest.mark.parametrize(
    ("path", "is_one"),
    [("/api/v1/uploads", True), ("/api/v1/uploads/x", True), ("/api/v1/uploadsx", False), ("/health", False)],
)
def test_tus_serves_only_its_own_addresses(path: str, is_one: bool):
    assert tus().serves(path) is is_one
    assert bool(tus().options(path)) is is_one


def test_tus_requests_require_the_version():
    tus().require_version(scope("GET", "/api/v1/uploads/x"), {})
    tus().require_version(scope("HEAD", "/api/v1/uploads"), {})
    tus().require_version(scope("POST", "/api/v1/uploads"), {b"tus-resumable": b"1.0.0"})
    for method, headers in (("PATCH", {}), ("HEAD", {}), ("GET", {b"tus-resumable": b"2"})):
        with pytest.raises(TusVersionUnknown):
            tus().require_version(scope(method, "/api/v1/uploads/x"), headers)


def test_method_override_works_only_at_tus_addresses():
    meant = {b"x-http-method-override": b"PATCH"}
    assert tus().method_of(scope("POST", "/api/v1/uploads/x"), meant) == "PATCH"
    assert tus().method_of(scope("GET", "/api/v1/uploads/x"), meant) == "GET"
    assert tus().method_of(scope("POST", "/api/v1/training/x"), meant) == "POST"
    assert tus().method_of(scope("POST", "/api/v1/uploads/x"), {b"x-http-method-override": b"GET"}) == "POST"


def test_checksum_names_its_algorithm():
    assert read_checksum({}) is None
    assert read_checksum({b"upload-checksum": b"sha1 YWJj"}) == Checksum("sha1", b"abc")
    for value in (b"md5 YWJj", b"sha256", b"sha256 ?", b"sha256 \xff", b""):
        with pytest.raises(MalformedRequest):
            read_checksum({b"upload-checksum": value} if value != b"sha256" else {b"upload-checksum": b"crc32 x"})
