"""Responses with files and pictures from memory. A slow reader occupies bytes, but no thread."""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import Response, request

#: The kinds of files that pages consist of. Others are not served.
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml; charset=utf-8",
    ".png": "image/png",
}


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file ready to be sent. `compressed` is its content as gzip."""

    content_type: str
    content: bytes
    compressed: bytes
    etag: str


def pack(name: str, content: bytes) -> PackedFile:
    """Return a packed file. Its suffix decides the type. Raises KeyError for a suffix that is not in CONTENT_TYPES."""
    return pack_as(CONTENT_TYPES[Path(name).suffix], content)


def pack_as(content_type: str, content: bytes) -> PackedFile:
    """Return a packed file of this content type."""
    # With mtime=0, the same content always gives the same bytes.
    compressed = gzip.compress(content, compresslevel=9, mtime=0)
    etag = hashlib.sha256(content).hexdigest()[:24]
    return PackedFile(content_type, content, compressed, etag)


def answer_packed(file: PackedFile, headers: Mapping[str, str]) -> Response:
    """Return the response with a file, compressed or 304 as the request's headers ask."""
    zipped = request.accept_encodings.quality("gzip") > 0
    response = Response(
        file.compressed if zipped else file.content, content_type=file.content_type, headers=dict(headers)
    )
    response.headers["Vary"] = "Accept-Encoding"
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.set_etag(file.etag, weak=True)
    response.make_conditional(request)
    return response


def answer_picture(
    tag: str | None, content_type: str, draw: Callable[[], bytes], *, is_immutable: bool = False
) -> Response:
    """Return the picture, or 304 without drawing it if the client has the picture with this tag.

    `is_immutable`: the address names the content, so that the client need not ask again.
    """
    headers = {"Cache-Control": "private, max-age=31536000, immutable" if is_immutable else "private, no-cache"}
    if tag is None:
        return Response(draw(), content_type=content_type, headers=headers)
    response = Response(content_type=content_type, headers=headers)
    response.set_etag(tag)
    if not request.if_none_match.contains(tag):
        response.set_data(draw())
    response.make_conditional(request)
    return response
