"""What tus says in headers: read from requests, and written into answers."""

import base64
import re
from collections.abc import Mapping
from email.utils import format_datetime

from flask import request

from api.domain.upload import UploadView
from api.errors import MalformedRequest

#: Bytes of the header that describes an upload, and the names in it.
MOST_METADATA_BYTES = 8 * 1024
_NAME = re.compile(r"[!-+\--~]{1,100}")


def read_length() -> int:
    """How many bytes the upload of this request has. Raises MalformedRequest."""
    text = request.headers.get("Upload-Length")
    if text is None:
        raise MalformedRequest("Upload-Length is missing: an upload says its size in bytes when it begins.")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise MalformedRequest("Upload-Length must be a number of bytes.")
    return int(text)


def read_metadata() -> dict[str, str]:
    """What this request says of its upload: pairs of a name and a text in Base64, by comma. Raises MalformedRequest."""
    header = request.headers.get("Upload-Metadata", "")
    if len(header) > MOST_METADATA_BYTES:
        raise MalformedRequest(f"Upload-Metadata has more than {MOST_METADATA_BYTES:,} bytes.")
    found: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else []:
        name, _, encoded = pair.strip().partition(" ")
        if not _NAME.fullmatch(name) or name in found:
            raise MalformedRequest("Upload-Metadata holds `name base64` pairs, by comma, each name once.")
        try:
            found[name] = base64.b64decode(encoded.strip(), validate=True).decode()
        except ValueError:
            raise MalformedRequest(f"Upload-Metadata: the value of {name} is no UTF-8 text in Base64.") from None
        if "\0" in found[name]:
            raise MalformedRequest(f"Upload-Metadata: the value of {name} holds a NUL character.")
    return found


def write_metadata(values: Mapping[str, str]) -> str:
    """The header Upload-Metadata that says these values."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}".strip() for name, value in values.items())


def progress_headers(upload: UploadView) -> dict[str, str]:
    """How far an upload is, in headers."""
    told = {"Upload-Expires": format_datetime(upload.expires_at, usegmt=True), "Cache-Control": "no-store"}
    if upload.offset is not None:
        told["Upload-Offset"] = str(upload.offset)
    if upload.size_bytes is not None:
        told["Upload-Length"] = str(upload.size_bytes)
    return told
