"""Write safetensors files as the library of that name does, and convert the elements of tensors."""

import json
from collections.abc import Mapping
from math import prod

#: Bytes of an element, by type.
ITEM_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "F64": 8, "I64": 8}

#: Tensors start at a multiple of this many bytes; the header is padded with spaces.
_ALIGNMENT = 8


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


#: The types between which elements can be converted.
CONVERTIBLE = frozenset({"F32", "F16", "BF16"})


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
