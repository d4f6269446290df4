"""Files that are served from memory: read and compressed once."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

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
