"""Read the header of a .safetensors file with bounded memory, and check that the file is complete."""

import json
import os
import re
import stat
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import orjson

#: Largest header in bytes that is read; those of the largest models have less than 1 MB.
MOST_HEADER_BYTES = 8 * 2**20

#: Largest header in bytes that the format allows.
LONGEST_HEADER_BYTES = 100_000_000

#: Most characters of each kind in a header that is read, which bounds the parsed JSON to 100 MB. The largest models
#: have 5,000 tensors.
_MOST_CHARACTERS = {b"{": 100_000, b"[": 100_000, b",": 1_000_000}

#: Most characters of a metadata text that is returned, and most metadata entries.
_METADATA_CHARACTERS, _METADATA_ENTRIES = 64 * 1024, 256

#: Bits of an element by type name; the size of unknown types is not checked.
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
    "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip

#: The form of a type name; other names are rejected.
_KIND = re.compile(r"[A-Z0-9_]{1,32}", re.ASCII)

_LARGEST = 2**63 - 1

#: Prefixes of tensor names: that of ComfyUI's exports, and others.
COMFY_PREFIX = "model.diffusion_model."
_PREFIXES = (COMFY_PREFIX, "model.model.", "diffusion_model.", "net.")

#: Keys that each tensor has once.
_KEYS = (b'"dtype"', b'"shape"', b'"data_offsets"')


class Unsound(Exception):
    """The file is not a complete safetensors file; the text is the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Header:
    """The shapes of a file's tensors by name, without the prefix that an export may add.

    `data_start` is the byte offset of the tensors, `dtype_bytes` the number of bytes of each type.
    """

    shapes: Mapping[str, tuple[int, ...]]
    dtype_bytes: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    prefixes: frozenset[str] = frozenset()  #: prefixes of at least one name
    data_start: int = 0
    _sorted: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Sort the names, so that prefixes are found by bisection."""
        object.__setattr__(self, "_sorted", sorted(self.shapes))

    @property
    def parameters(self) -> int:
        """The number of elements of all tensors."""
        return sum(prod(shape) for shape in self.shapes.values())

    @property
    def dtype(self) -> str | None:
        """The type with the most bytes; None if there are no tensors."""
        return max(self.dtype_bytes, key=lambda kind: self.dtype_bytes[kind], default=None)

    def count(self, list_name: str) -> int:
        """Return the number of blocks in a list of the model: `blocks.0.…` to `blocks.29.…` are 30."""
        start = list_name + "."
        numbers = (name[len(start) :].partition(".")[0] for name in self.shapes if name.startswith(start))
        # A longer number is not a block's, and int() would be slow on a very long one.
        return (
            max((int(text) for text in numbers if len(text) < 7 and text.isascii() and text.isdigit()), default=-1) + 1
        )

    def width(self, name: str) -> int | None:
        """Return the first dimension of the first tensor with this text in its name, or None."""
        return next((shape[0] for full, shape in self.shapes.items() if name in full and shape), None)

    def has_key_starting(self, start: str) -> bool:
        """Return whether a tensor's name starts with this text."""
        index = bisect_left(self._sorted, start)
        return index < len(self._sorted) and self._sorted[index].startswith(start)

    def has_key_ending(self, *endings: str) -> bool:
        """Return whether a tensor's name ends with one of these texts."""
        return any(name.endswith(endings) for name in self.shapes)


def merged(headers: Iterable[Header]) -> Header:
    """Return the header that the shards of one model would have as one file."""
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, int] = {}
    metadata: dict[str, str] = {}
    prefixes: frozenset[str] = frozenset()
    for header in headers:
        shapes.update(header.shapes)
        metadata.update(header.metadata)
        prefixes |= header.prefixes
        for kind, size in header.dtype_bytes.items():
            dtypes[kind] = dtypes.get(kind, 0) + size
    return Header(shapes, dtypes, metadata, prefixes)


def read_header(path: Path) -> Header | None:
    """Return the header of a complete file; None if it cannot be read, for instance if it is too large.

    Raises Unsound.
    """
    try:
        status = path.stat()
        return _read(path, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=16)
def _read(path: Path, size: int, written_at: int) -> Header | None:
    """Return the header, cached while the file does not change. Raises Unsound, OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return read_open_header(file.fileno(), size)


def read_open_header(handle: int, size: int) -> Header | None:
    """Return the header of an open file of this size; None if it is too large to read. Raises Unsound, OSError."""
    start = os.pread(handle, 8, 0)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 0 < length <= LONGEST_HEADER_BYTES:
        raise Unsound("does not start with a safetensors header")
    if 8 + length > size:
        raise Unsound("ends within its header: download it again")
    if length > MOST_HEADER_BYTES:
        return None
    text = os.pread(handle, length, 8)
    if any(text.count(mark) > most for mark, most in _MOST_CHARACTERS.items()):
        return None
    entries, metadata = _parse(text)
    if not entries:
        raise Unsound("contains no tensors")
    header, end = _parse_entries(entries, metadata, 8 + length)
    if size < end:
        raise Unsound(f"is {end - size:,} bytes too short: download it again")
    if size > end:
        raise Unsound(f"is {size - end:,} bytes longer than its header states")
    return header


def _parse_entries(entries: dict[str, Any], metadata: Mapping[str, str], data_start: int) -> tuple[Header, int]:
    """Return the header, and the size that the file must have."""
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, int] = {}
    prefixes: set[str] = set()
    extents = []
    for name, entry in entries.items():
        begin, end = extent = _extent(name, entry)
        extents.append(extent)
        if name.startswith(_PREFIXES):
            prefix = next(each for each in _PREFIXES if name.startswith(each))
            prefixes.add(prefix)
            name = name[len(prefix) :]  # noqa: PLW2901 — the bare name is the name from here on
        shapes[name] = tuple(entry["shape"])
        kind = entry["dtype"]
        dtypes[kind] = dtypes.get(kind, 0) + end - begin
    header = Header(shapes, dtypes, metadata, frozenset(prefixes), data_start)
    return header, data_start + _check_layout(extents)


def _parse(text: bytes) -> tuple[dict[str, Any], Mapping[str, str]]:
    header = _parse_plain(text)
    if header is None:
        header = _parse_slowly(text)
    if not isinstance(header, dict):
        raise Unsound("has a damaged header (not an object)")
    metadata = header.pop("__metadata__", None)
    if metadata is not None and not isinstance(metadata, dict):
        raise Unsound("has a damaged header (its metadata is not an object)")
    if not all(isinstance(value, str) for value in (metadata or {}).values()):
        raise Unsound("has a damaged header (its metadata has a value that is not a text)")
    fits = (
        (name, value)
        for name, value in (metadata or {}).items()
        if len(name) <= 256 and len(value) <= _METADATA_CHARACTERS
    )
    return header, dict(pair for pair, _ in zip(fits, range(_METADATA_ENTRIES), strict=False))


def _parse_plain(text: bytes) -> Any:
    """Return the header from a fast parser if it certainly has no duplicate keys; else None."""
    try:
        header = orjson.loads(text)
    except ValueError:
        return None
    if not isinstance(header, dict) or text.count(b'"__metadata__"') != ("__metadata__" in header):
        return None
    tensors = len(header) - ("__metadata__" in header)
    # A quotation mark within a JSON text is escaped, so these matches are keys.
    return header if all(text.count(key) == tensors for key in _KEYS) else None


def _parse_slowly(text: bytes) -> Any:
    """Parse the header strictly to find its errors.

    The trainer rejects NaN and lone surrogates; Python's parser does not.
    """
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique)
    except _TwiceError:
        raise Unsound("has a damaged header (it has a duplicate key)") from None
    except (ValueError, RecursionError):
        raise Unsound("has a damaged header (invalid JSON)") from None
    try:
        orjson.loads(text)
    except ValueError:
        raise Unsound("has a damaged header (invalid JSON)") from None
    return header


class _TwiceError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


def _extent(name: str, entry: Any) -> tuple[int, int]:
    """Return the start and end of a tensor's bytes."""
    if not isinstance(entry, dict):
        raise Unsound(f"has a damaged header ({name[:80]})")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    kind: Any = entry.get("dtype")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2 or not _is_kind(kind):
        raise Unsound(f"has a damaged header ({name[:80]})")
    elements = 1
    for side in shape:
        elements *= side
        if elements > _LARGEST:
            raise Unsound(f"has a tensor larger than any memory ({name[:80]})")
    begin, end = offsets
    bits = _BITS.get(kind)
    if end < begin or (bits is not None and elements * bits != (end - begin) * 8):
        raise Unsound(f"has a tensor whose shape does not match its size in the file ({name[:80]})")
    return begin, end


def _is_kind(kind: Any) -> bool:
    return type(kind) is str and (kind in _BITS or _KIND.fullmatch(kind) is not None)


def _are_sizes(values: Any) -> bool:
    if type(values) is not list or len(values) > 64:
        return False
    for size in values:  # noqa: SIM110 — a generator would take twice as long, and there are thousands of lists
        if type(size) is not int or not 0 <= size <= _LARGEST:
            return False
    return True


def _check_layout(extents: Iterable[tuple[int, int]]) -> int:
    """Return the end of the last tensor; tensors must be contiguous."""
    position = 0
    for begin, end in sorted(extents):
        if begin != position:
            raise Unsound("has tensors that overlap or leave gaps")
        position = end
    return position
