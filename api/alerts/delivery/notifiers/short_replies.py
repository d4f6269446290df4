"""Limits how much Apprise's plugins read of a response.

They create their own sessions of `requests`, and read the whole response.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests.sessions
from requests.adapters import HTTPAdapter

#: Bytes of a response that a plugin gets; a normal one is a sentence or some JSON.
MOST_BYTES = 65_536

_here = threading.local()


class _ShortReplies(HTTPAdapter):
    """The adapter of requests, which truncates responses in threads that request this."""

    def send(self, request: requests.PreparedRequest, *given: Any, **named: Any) -> requests.Response:
        """Send a request. Raises requests.ConnectionError."""
        if not getattr(_here, "is_short", False):
            return super().send(request, *given, **named)
        request.headers["Accept-Encoding"] = "identity"
        response = super().send(request, *given, **named)
        # Read without decoding: 64 KB of compressed data can become gigabytes.
        original, response.raw = response.raw, io.BytesIO(response.raw.read(MOST_BYTES, decode_content=False))
        original.close()
        return response


@contextmanager
def short_replies() -> Iterator[None]:
    """Let the sessions that this thread creates within the block read only the beginning of each response."""
    if requests.sessions.HTTPAdapter is not _ShortReplies:
        requests.sessions.HTTPAdapter = _ShortReplies
    _here.is_short = True
    try:
        yield
    finally:
        _here.is_short = False
