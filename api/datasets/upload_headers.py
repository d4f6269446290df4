"""Read and write the headers of the tus protocol."""

import base64
import re
from collections.abc import Mapping
from email.utils import format_datetime

from flask import request

from api.domain.upload import UploadView
from api.errors import MalformedRequest

#: Most bytes of the header Upload-Metadata; and the form of its names.
MOST_METADATA_BYTES = 8 * 1024
_NAME = re.compile(r"[!-+\--~]{1,100}")


def read_length() -> int:
    """Return the size of this request's upload in bytes. Raises MalformedRequest."""
    text = request.headers.get("Upload-Length")
    if text is None:
        raise MalformedRequest("Upload-Length is missing: set it to the size of the upload in bytes.")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise MalformedRequest("Upload-Length must be a number of bytes.")
    return int(text)


def read_metadata() -> dict[str, str]:
    """Return the metadata of this request's upload: comma-separated names and Base64 texts. Raises MalformedRequest."""
    header = request.headers.get("Upload-Metadata", "")
    if len(header) > MOST_METADATA_BYTES:
        raise MalformedRequest(f"Upload-Metadata has more than {MOST_METADATA_BYTES:,} bytes.")
    found: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else []:
        name, _, encoded = pair.strip().partition(" ")
        if not _NAME.fullmatch(name) or name in found:
            raise MalformedRequest("Upload-Metadata must contain comma-separated `name base64` pairs, each name once.")
        try:
            found[name] = base64.b64decode(encoded.strip(), validate=True).decode()
        except ValueError:
            raise MalformedRequest(f"Upload-Metadata: the value of {name} is not UTF-8 text in Base64.") from None
        if "\0" in found[name]:
            raise MalformedRequest(f"Upload-Metadata: the value of {name} contains a NUL character.")
    return found


def write_metadata(values: Mapping[str, str]) -> str:
    """Return the header Upload-Metadata with these values."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}".strip() for name, value in values.items())


def progress_headers(upload: UploadView) -> dict[str, str]:
    """Return headers with the progress of an upload."""
    headers = {"Upload-Expires": format_datetime(upload.expires_at, usegmt=True), "Cache-Control": "no-store"}
    if upload.offset is not None:
        headers["Upload-Offset"] = str(upload.offset)
    if upload.size_bytes is not None:
        headers["Upload-Length"] = str(upload.size_bytes)
    return headers
