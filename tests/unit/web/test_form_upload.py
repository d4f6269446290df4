import asyncio
from typing import Any

import pytest

from api.errors import MalformedRequest, TooLarge
from api.util.taken_body import FORM, SAID, TakenForm
from api.web.form_upload import FormUpload, TakenFile
from api.web.pouring import DiskThreads, Pourer
from api.web.taking import BodyRequest
from api.web.wsgi import WSGIAnswer

TYPE = b"multipart/form-data; boundary=X"
BODY = b'--X\r\nContent-Disposition: form-data; name="video"; filename="x.png"\r\n\r\nbytes\r\n--X--\r\n'
VIDEO = TakenFile(("video",))


class OneUpload:
    """The fake of uploads: the one that is begun."""

    upload_id = "one"
    offset = 0

    def __init__(self) -> None:
        self.written = bytearray()
        self.said: list[str] = []

    def begin_whole(self, at_least: int) -> Any:
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


def take(uploads: OneUpload, body: bytes, status: int = 202, file: TakenFile = VIDEO) -> dict[str, Any]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope: dict[str, Any] = {"state": {}}
    request = BodyRequest(scope, {b"content-type": TYPE, b"content-length": b"1"}, receive, {})

    async def both() -> None:
        taker = FormUpload(uploads, Pourer(DiskThreads()), file)
        await taker.before(request)
        await taker.after(request, WSGIAnswer(status, [], b""))

    asyncio.run(both())
    return scope["state"]


def test_a_form_is_left_for_the_route_and_what_is_not_wanted_goes_after_it():
    uploads = OneUpload()
    state = take(uploads, BODY)
    assert state[FORM] == TakenForm("one", {}, "video", "x.png", 5)
    assert len(state[SAID]) == 32
    assert (uploads.written, uploads.said) == (b"bytes", ["closed True", "discarded one"])


def test_a_form_that_cannot_be_read_is_discarded_at_once():
    uploads = OneUpload()
    with pytest.raises(MalformedRequest):
        take(uploads, BODY[:-6])
    assert uploads.said == ["closed False", "discarded one"]


def test_a_file_with_a_bound_of_its_own_is_discarded_where_it_passes_it():
    uploads = OneUpload()
    with pytest.raises(TooLarge):
        take(uploads, BODY, file=TakenFile(("video",), most=4))
    assert uploads.said == ["closed False", "discarded one"]
