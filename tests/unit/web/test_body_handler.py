from typing import Any

import pytest

from api.errors import MalformedRequest, UnsupportedMediaType
from api.web.body_handler import BodyRequest


async def receive() -> Any:
    raise AssertionError("the body is not read")


def request(**headers: str) -> BodyRequest:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return BodyRequest({}, named, receive, {})


@pytest.mark.parametrize(
    ("headers", "announced", "has_body"),
    [({}, 0, False), ({"content_length": "5"}, 5, True), ({"transfer_encoding": "chunked"}, None, True)],
)
def test_body_is_announced_by_length_or_chunked(headers: dict[str, str], announced: int | None, has_body: bool):
    parsed = request(**headers)
    assert (parsed.announced, parsed.has_body) == (announced, has_body)


def test_content_type_has_no_parameters():
    assert request(content_type="Text/Plain; charset=x").content_type == "text/plain"


@pytest.mark.parametrize("headers", [{"content_encoding": "gzip"}, {"transfer_encoding": "gzip, chunked"}])
def test_compressed_body_is_refused(headers: dict[str, str]):
    with pytest.raises(UnsupportedMediaType):
        request(**headers).require_plain()
    request(content_encoding="identity", transfer_encoding="chunked").require_plain()


def test_number_in_a_header_is_read():
    assert request(upload_offset="12").number("Upload-Offset") == 12
    assert request().number("Upload-Offset") is None
    for text in ("-1", "1e3", "", "9" * 19, "١"):
        with pytest.raises(MalformedRequest):
            request(upload_offset=text).number("Upload-Offset")
