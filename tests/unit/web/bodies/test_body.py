"""Request bodies within their limits."""

import asyncio
from typing import Any

import pytest

from api.errors import MalformedRequest, TooLarge, Unavailable, UnsupportedMediaType
from api.web.bodies.body import SMALL_BODY_BYTES, Bodies, BodyRequest

LONG = {b"transfer-encoding": b"chunked"}


def sends(*parts: bytes) -> Any:
    """A client that sends these parts; after an empty last one, nothing more arrives."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left) or not part}

    return receive


def read(bodies: Bodies, *parts: bytes, headers: dict[bytes, bytes] = LONG) -> bytes:
    return asyncio.run(bodies.read(headers, sends(*parts)))


def test_body_is_read_completely():
    assert read(Bodies(100), b"one", b"two") == b"onetwo"


def test_request_without_a_body_does_not_wait_for_one():
    assert asyncio.run(Bodies(100).read({}, sends())) == b""


def test_announced_body_beyond_the_limit_is_refused_immediately():
    with pytest.raises(TooLarge):
        asyncio.run(Bodies(100).read({b"content-length": b"101"}, sends()))


def test_body_that_grows_beyond_the_limit_is_refused():
    with pytest.raises(TooLarge):
        read(Bodies(5), b"one", b"two")


async def _while_one_is_half_sent(bodies: Bodies, half: bytes, whole: bytes) -> bytes:
    slow = asyncio.create_task(bodies.read(LONG, sends(half, b"")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        return await bodies.read(LONG, sends(whole))
    finally:
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)


def test_large_bodies_are_bounded_together():
    bodies = Bodies(100_000, 100_000)
    with pytest.raises(Unavailable):
        asyncio.run(_while_one_is_half_sent(bodies, b"x" * 60_000, b"x" * 60_000))
    assert read(bodies, b"x" * 60_000) == b"x" * 60_000


def test_small_body_is_read_regardless_of_others():
    bodies = Bodies(100_000, 100_000)
    small = b"x" * SMALL_BODY_BYTES
    assert asyncio.run(_while_one_is_half_sent(bodies, b"x" * 100_000, small)) == small


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"chunked, chunked", b"identity"])
def test_encoded_body_is_refused(coding: bytes):
    with pytest.raises(UnsupportedMediaType):
        read(Bodies(100), b"one", headers={b"transfer-encoding": coding})


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
