"""Write safetensors files: copies with other metadata, and headers and elements as the library writes them."""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from api.files.weights.header import MOST_HEADER_BYTES, Unsound, read_open_header

#: Bytes per copied part.
_CHUNK = 1024 * 1024

#: Tensors start at a multiple of this many bytes; the header is padded with spaces.
_ALIGNMENT = 8


#: Bytes of an element, by type.
ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "F64": 8, "I64": 8}

#: The types between which elements can be converted.
CONVERTIBLE = frozenset({"F32", "F16", "BF16"})


@dataclass(frozen=True, slots=True)
class RewrittenFile:
    """An open safetensors file with another header. It is never changed itself. The recipient closes it."""

    descriptor: int
    name: str
    modified_at: float
    head: bytes  #: the new header, with its length
    tensors_at: int  #: where the tensors start in the file
    size: int  #: of the result
    is_inline: bool = False

    @property
    def tag(self) -> str:
        """The ETag of the result."""
        return f'"{os.fstat(self.descriptor).st_mtime_ns:x}-{self.size:x}-{zlib.crc32(self.head):x}"'

    def read(self, offset: int, limit: int) -> bytes:
        """Return up to `limit` bytes of the result from an offset. Raises OSError."""
        if offset < len(self.head):
            return self.head[offset : offset + limit]
        limit = min(limit, self.size - offset)
        return os.pread(self.descriptor, limit, self.tensors_at + offset - len(self.head)) if limit > 0 else b""

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def with_metadata(
    handle: int, name: str, modified_at: float, metadata: Mapping[str, str], *, replaces: bool = False
) -> RewrittenFile:
    """Return the open file with this additional metadata; known keys stay, unless `replaces`.

    Raises Unsound if it is not a complete safetensors file; ValueError if the header would be too long; OSError.
    """
    size = os.fstat(handle).st_size
    header = read_open_header(handle, size)
    if header is None:
        raise Unsound("has a header that is too long to be rewritten")
    text = _with_metadata(os.pread(handle, header.data_start - 8, 8), metadata, replaces=replaces)
    head = len(text).to_bytes(8, "little") + text
    return RewrittenFile(handle, name, modified_at, head, header.data_start, len(head) + size - header.data_start)


def rewrite(handle: int, metadata: Mapping[str, str], write: Callable[[bytes], None]) -> None:
    """Pass the open file to `write` in parts, with this metadata in addition to or instead of what it has.

    Raises Unsound if it is not a complete safetensors file; ValueError if the header would be too long; OSError.
    """
    file, at = with_metadata(handle, "", 0.0, metadata, replaces=True), 0
    while part := file.read(at, _CHUNK):
        write(part)
        at += len(part)


def hash_tensors(handle: int, tensors_at: int) -> str:
    """Return the SHA-256 of everything after the header, which other programs know as the hash of the model."""
    status = os.fstat(handle)
    return _hash(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, tensors_at, _Handle(handle))


class _Handle(int):
    """A descriptor that does not count in a cache key: the same file may be open as another one."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handle)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=256)
def _hash(device: int, inode: int, size: int, written_at: int, start: int, handle: int) -> str:
    digest, at = hashlib.sha256(), start
    while part := os.pread(handle, min(_CHUNK, size - at), at):
        digest.update(part)
        at += len(part)
    return digest.hexdigest()


def _with_metadata(text: bytes, metadata: Mapping[str, str], *, replaces: bool) -> bytes:
    """Return the header with additional metadata. The order and the offsets of the tensors stay."""
    entries: dict[str, Any] = json.loads(text)
    known = entries.pop("__metadata__", None) or {}
    merged = {**known, **metadata} if replaces else {**metadata, **known}
    made = json.dumps({"__metadata__": merged, **entries}, ensure_ascii=False, separators=(",", ":")).encode()
    if len(made) > MOST_HEADER_BYTES:
        raise ValueError("the header would be longer than 8 MiB")
    return made + b" " * (-len(made) % _ALIGNMENT)


def order_tensors(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[str]:
    """Return the names in the order in which the library stores tensors: by size of an element, then by name."""
    return sorted(tensors, key=lambda name: (-ITEM_BYTES[tensors[name][0]], name))


def make_header(tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """Return the beginning of a file with these types and shapes, up to the first tensor."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    at = 0
    for name in order_tensors(tensors):
        dtype, shape = tensors[name]
        end = at + ITEM_BYTES[dtype] * prod(shape)
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def convert(content: bytes, source: str, target: str) -> bytes:
    """Return elements of one type as elements of another, rounded to the nearest. Both are of CONVERTIBLE."""
    if source == target:
        return content
    # NumPy is heavy, and only the program that exports needs it.
    import numpy as np  # noqa: PLC0415

    if source == "BF16":
        values = (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")
    else:
        values = np.frombuffer(content, "<f4" if source == "F32" else "<f2").astype("<f4")
    if target != "BF16":
        with np.errstate(over="ignore"):  # becomes infinite, as in torch
            return values.astype("<f4" if target == "F32" else "<f2").tobytes()
    bits = values.view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype("<u2").tobytes()
