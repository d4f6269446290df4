import asyncio
from typing import Any

import pytest

from api.errors import MalformedRequest, TooLarge
from api.util.files.stored_form import DIGEST, FORM, StoredForm
from api.web.bodies.body import BodyRequest, WSGIResponse
from api.web.bodies.body_streamer import BodyStreamer, DiskThreads
from api.web.bodies.form_upload import FormFile, FormUpload

TYPE = b"multipart/form-data; boundary=X"
BODY = b'--X\r\nContent-Disposition: form-data; name="video"; filename="x.png"\r\n\r\nbytes\r\n--X--\r\n'
VIDEO = FormFile(("video",))


class OneUpload:
    """The fake upload service, with one upload."""

    upload_id = "one"
    offset = 0

    def __init__(self) -> None:
        self.written = bytearray()
        self.said: list[str] = []

    def begin_form(self, at_least: int) -> Any:
        return self

    def open(self, *given: Any) -> Any:
        self.offset = 0
        return self

    def write(self, part: bytes) -> None:
        self.written += part
        self.offset += len(part)

    def close(self, incoming: Any, *, is_whole: bool) -> Any:
        self.said.append(f"closed {is_whole}")
        return self

    def discard(self, upload_id: str) -> None:
        self.said.append(f"discarded {upload_id}")


def take(uploads: OneUpload, body: bytes, status: int = 202, file: FormFile = VIDEO) -> dict[str, Any]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope: dict[str, Any] = {"state": {}}
    request = BodyRequest(scope, {b"content-type": TYPE, b"content-length": b"1"}, receive, {})

    async def both() -> None:
        taker = FormUpload(uploads, BodyStreamer(DiskThreads()), file)
        await taker.before(request)
        await taker.after(request, WSGIResponse(status, [], b""))

    asyncio.run(both())
    return scope["state"]


def test_form_is_left_for_the_route_and_its_unused_file_is_discarded():
    uploads = OneUpload()
    state = take(uploads, BODY)
    assert state[FORM] == StoredForm("one", {}, "video", "x.png", 5)
    assert len(state[DIGEST]) == 32
    assert (uploads.written, uploads.said) == (b"bytes", ["closed True", "discarded one"])


def test_unreadable_form_is_discarded():
    uploads = OneUpload()
    with pytest.raises(MalformedRequest):
        take(uploads, BODY[:-6])
    assert uploads.said == ["closed False", "discarded one"]


def test_file_beyond_its_own_limit_is_discarded():
    uploads = OneUpload()
    with pytest.raises(TooLarge):
        take(uploads, BODY, file=FormFile(("video",), most=4))
    assert uploads.said == ["closed False", "discarded one"]
