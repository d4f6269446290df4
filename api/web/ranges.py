"""Parses the Range header for every download (RFC 9110, 14.2). One range is supported."""

import re

from api.errors import MalformedRequest

_RANGE = re.compile(rb"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)

UNREADABLE = "The Range header is invalid. Example: bytes=0-1023 requests the first 1,024 bytes."


def read_range(header: bytes) -> tuple[int | None, int | None] | None:
    """Return the first and the last requested byte; None for the whole file.

    With None as the first, the second is a count from the end. Several ranges count as the whole file.
    Raises MalformedRequest.
    """
    wanted = header.replace(b" ", b"")
    if not wanted or b"," in wanted:
        return None
    found = _RANGE.fullmatch(wanted)
    if found is None or found[1] == found[2] == b"":
        raise MalformedRequest(UNREADABLE)
    first, last = (int(text) if text else None for text in found.groups())
    if first is not None and last is not None and first > last:
        raise MalformedRequest(UNREADABLE)
    return first, last
