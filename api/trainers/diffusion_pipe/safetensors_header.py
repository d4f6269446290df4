"""Reads the header of a .safetensors file, which tells what is in it, and whether it is whole: with bounded memory."""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

#: The most bytes of a header that are read; those of the largest models have less than 1 MB.
MOST_HEADER_BYTES = 8 * 2**20

#: The largest header, in bytes, that the format itself allows.
LONGEST_HEADER_BYTES = 100_000_000

#: Bits of an element, by the name of its type; of newer types the size is not checked.
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip

_LARGEST = 2**63 - 1

#: What ComfyUI's exports put before each key of a transformer, and what others do.
_PREFIXES = ("model.diffusion_model.", "model.model.", "diffusion_model.", "net.")


class Unsound(Exception):
    """The file is no whole safetensors file: why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Header:
    """The shapes of a file's tensors by their names, without the prefix that an export may put before them."""

    shapes: Mapping[str, tuple[int, ...]]

    def count(self, list_name: str) -> int:
        """How many blocks one list of the model has: `blocks.0.…` to `blocks.29.…` are 30."""
        start = list_name + "."
        numbers = (name[len(start) :].partition(".")[0] for name in self.shapes if name.startswith(start))
        return max((int(number) for number in numbers if number.isascii() and number.isdigit()), default=-1) + 1

    def width(self, name: str) -> int | None:
        """The first side of the first tensor with this in its name; None when there is none."""
        return next((shape[0] for full, shape in self.shapes.items() if name in full and shape), None)

    def has_key_starting(self, start: str) -> bool:
        """Whether some tensor's name begins so."""
        return any(name.startswith(start) for name in self.shapes)

    def has_key_ending(self, *endings: str) -> bool:
        """Whether some tensor's name ends in one of these."""
        return any(name.endswith(endings) for name in self.shapes)


def read_header(path: Path) -> Header | None:
    """The header of a whole file; None when it cannot be told, as of one above 8 MB. Raises Unsound."""
    try:
        status = path.stat()
        return _read(path, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=4)
def _read(path: Path, size: int, written_at: int) -> Header | None:
    """The header, remembered while the file stays as it is. Raises Unsound, OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or not 0 < length <= LONGEST_HEADER_BYTES:
            raise Unsound("does not begin as one")
        if 8 + length > size:
            raise Unsound("ends within its header: it was not downloaded to its end")
        if length > MOST_HEADER_BYTES:
            return None
        entries = _parse(file.read(length))
    end = 8 + length + _check_layout([_extent(name, entry) for name, entry in entries.items()])
    if size < end:
        raise Unsound(f"is {end - size:,} bytes short: it was not downloaded to its end")
    if size > end:
        raise Unsound(f"has {size - end:,} bytes more than its header tells of")
    return Header({_bare(name): tuple(entry["shape"]) for name, entry in entries.items()})


def _parse(text: bytes) -> dict[str, dict[str, Any]]:
    try:
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise Unsound(f"has a damaged header ({error})"[:200]) from None
    if not isinstance(header, dict):
        raise Unsound("has a damaged header (no object)")
    header.pop("__metadata__", None)
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _extent(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor's bytes begin and end."""
    if not isinstance(entry, dict):
        raise Unsound(f"has a damaged header ({name[:80]})")
    shape, offsets, kind = _sizes(entry.get("shape")), _sizes(entry.get("data_offsets")), entry.get("dtype")
    if shape is None or offsets is None or len(offsets) != 2 or not isinstance(kind, str):
        raise Unsound(f"has a damaged header ({name[:80]})")
    elements = 1
    for side in shape:
        elements *= side
        if elements > _LARGEST:
            raise Unsound(f"has a tensor larger than any memory ({name[:80]})")
    begin, end = offsets
    bits = _BITS.get(kind)
    if end < begin or (bits is not None and elements * bits != (end - begin) * 8):
        raise Unsound(f"tells a shape and a place that do not fit to each other ({name[:80]})")
    return begin, end


def _sizes(values: Any) -> list[int] | None:
    is_list = isinstance(values, list) and len(values) <= 64
    return values if is_list and all(type(size) is int and 0 <= size <= _LARGEST for size in values) else None


def _check_layout(extents: Iterable[tuple[int, int]]) -> int:
    """Where the last tensor ends: they lie behind one another, without holes."""
    position = 0
    for begin, end in sorted(extents):
        if begin != position:
            raise Unsound("has tensors that overlap or leave holes")
        position = end
    return position


def _bare(name: str) -> str:
    return next((name[len(prefix) :] for prefix in _PREFIXES if name.startswith(prefix)), name)
