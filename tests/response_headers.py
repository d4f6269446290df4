"""Compares the headers of responses with those that the OpenAPI document declares."""

from collections.abc import Mapping
from typing import Any

#: Headers of HTTP itself, or of every response.
COMMON_HEADERS = {
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "server",
    "transfer-encoding",
    "vary",
    "x-content-type-options",
    "x-request-id",
}

#: Statuses of which every response has this header.
ALWAYS = {201: "Location", 202: "Location", 401: "WWW-Authenticate", 429: "Retry-After"}


def check_headers(response: dict[str, Any], status: int, headers: Mapping[str, str]) -> None:
    """Compare the headers of a response with those that the document declares for it."""
    declared = {name.lower() for name in response.get("headers", {})}
    assert {name.lower() for name in headers} - COMMON_HEADERS <= declared
    if status in ALWAYS:
        assert ALWAYS[status] in headers
        assert ALWAYS[status].lower() in declared
