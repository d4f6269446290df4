from typing import Any

import pytest

from api.errors import MalformedRequest, UnsupportedMediaType
from api.web.taking import BodyRequest


async def receive() -> Any:
    raise AssertionError("the body is not read")


def request(**headers: str) -> BodyRequest:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return BodyRequest({}, named, receive, {})


@pytest.mark.parametrize(
    ("headers", "announced", "has_body"),
    [({}, 0, False), ({"content_length": "5"}, 5, True), ({"transfer_encoding": "chunked"}, None, True)],
)
def test_a_body_says_how_long_it_is_or_comes_in_chunks(headers: dict[str, str], announced: int | None, has_body: bool):
    asked = request(**headers)
    assert (asked.announced, asked.has_body) == (announced, has_body)


def test_the_type_is_told_without_its_parameters():
    assert request(content_type="Text/Plain; charset=x").content_type == "text/plain"


@pytest.mark.parametrize("headers", [{"content_encoding": "gzip"}, {"transfer_encoding": "gzip, chunked"}])
def test_a_packed_body_is_refused(headers: dict[str, str]):
    with pytest.raises(UnsupportedMediaType):
        request(**headers).require_plain()
    request(content_encoding="identity", transfer_encoding="chunked").require_plain()


def test_a_number_in_a_header_is_read():
    assert request(upload_offset="12").number("Upload-Offset") == 12
    assert request().number("Upload-Offset") is None
    for text in ("-1", "1e3", "", "9" * 19, "١"):
        with pytest.raises(MalformedRequest):
            request(upload_offset=text).number("Upload-Offset")
