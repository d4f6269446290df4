"""The Range header of a download."""

import pytest

from api.errors import MalformedRequest
from api.web.ranges import read_range


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
