"""Bounds what Apprise's plugins read of an answer: they make their own sessions of `requests`, and read all of it."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests.sessions
from requests.adapters import HTTPAdapter

#: Bytes of an answer that a plugin gets: an honest one is a sentence, or some JSON.
MOST_BYTES = 65_536

_here = threading.local()


class _ShortReplies(HTTPAdapter):
    """The adapter of requests, which keeps the beginning of an answer where the thread has asked for that."""

    def send(self, request: requests.PreparedRequest, *given: Any, **named: Any) -> requests.Response:
        """Send a request. Raises requests.ConnectionError."""
        if not getattr(_here, "is_short", False):
            return super().send(request, *given, **named)
        request.headers["Accept-Encoding"] = "identity"
        answer = super().send(request, *given, **named)
        # Read undecoded: 64 KB that are compressed can become gigabytes.
        reply, answer.raw = answer.raw, io.BytesIO(answer.raw.read(MOST_BYTES, decode_content=False))
        reply.close()
        return answer


@contextmanager
def short_replies() -> Iterator[None]:
    """Let the sessions that this thread makes within the block read little of each answer."""
    if requests.sessions.HTTPAdapter is not _ShortReplies:
        requests.sessions.HTTPAdapter = _ShortReplies
    _here.is_short = True
    try:
        yield
    finally:
        _here.is_short = False
