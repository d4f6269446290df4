"""Write metadata into a copy of a safetensors file: a new header, and a byte-for-byte copy of the tensors."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from api.files.weights.header import MOST_HEADER_BYTES, Unsound, read_open_header

#: Bytes per copied part.
_CHUNK = 1024 * 1024

#: Tensors start at a multiple of this many bytes; the header is padded with spaces.
_ALIGNMENT = 8


def rewrite(handle: int, metadata: Mapping[str, str], write: Callable[[bytes], None]) -> None:
    """Pass the open file to `write` in parts, with this additional metadata.

    Raises Unsound if it is not a complete safetensors file; ValueError if the header would be too long; OSError.
    """
    size = os.fstat(handle).st_size
    header = read_open_header(handle, size)
    if header is None:
        raise Unsound("has a header that is too long to be rewritten")
    text = _with_metadata(os.pread(handle, header.data_start - 8, 8), metadata)
    write(len(text).to_bytes(8, "little") + text)
    at = header.data_start
    while part := os.pread(handle, _CHUNK, at):
        write(part)
        at += len(part)


def _with_metadata(text: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the header with additional metadata. The order and the offsets of the tensors stay."""
    entries: dict[str, Any] = json.loads(text)
    known = entries.pop("__metadata__", None) or {}
    made = json.dumps(
        {"__metadata__": {**known, **metadata}, **entries}, ensure_ascii=False, separators=(",", ":")
    ).encode()
    if len(made) > MOST_HEADER_BYTES:
        raise ValueError("the header would be longer than 8 MiB")
    return made + b" " * (-len(made) % _ALIGNMENT)
