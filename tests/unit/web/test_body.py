"""Request bodies within their limits."""

import asyncio
from typing import Any

import pytest

from api.errors import TooLarge, Unavailable, UnsupportedMediaType
from api.web.body import SMALL_BODY_BYTES, Bodies

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
