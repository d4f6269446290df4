import json
import os
import struct
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from api.files.weights.header import MOST_HEADER_BYTES, Header, Unsound, merged, read_header
from tests.lengths import length


def write(path: Path, header: Any, data: int = 0, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(data))
    return path


def tensor(begin: int, end: int, shape: list[Any], kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


def test_shapes_of_a_complete_file_have_no_export_prefix(tmp_path: Path):
    header = {"__metadata__": {"format": "pt"}, "model.diffusion_model.layers.29.w": tensor(0, 24, [2, 3])}
    found = read_header(write(tmp_path / "a", header, 24))
    assert found is not None
    assert found.shapes == {"layers.29.w": (2, 3)}
    assert (found.count("layers"), found.count("blocks")) == (30, 0)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": tensor(0, 24, [6])}, 23),  # incomplete
        ({"a": tensor(0, 24, [6])}, 25),
        ({"a": tensor(0, 24, [5])}, 24),  # shape and size differ
        ({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, 12),  # overlap
        ({"a": tensor(0, 8, [2]), "b": tensor(12, 20, [2])}, 20),  # gap
        ({"a": tensor(4, 8, [1])}, 8),
        ({"a": tensor(0, 0, [2**62, 2**62])}, 0),  # overflow
        ({"a": tensor(0, 0, [2**40, 2**40, 0])}, 0),
        ({"a": tensor(8, 0, [0])}, 8),
        ({"a": tensor(0, 4, [-1, -1])}, 4),
        ({"a": tensor(0, 4, [1.0])}, 4),
        ({"a": tensor(0, 4, [True])}, 4),
        ({"a": {"dtype": "F32", "shape": [1]}}, 4),
        ({"a": 3}, 0),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": 3}', 4),  # duplicate key
        (b'{"\\ud800": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}', 1),  # lone surrogate
        (b'{"__metadata__": {"a": "\\udfff"}}', 0),
        ({"__metadata__": {"a": 1}}, 0),
        (b'{"a": {"dtype": "U8", "shape": [NaN], "data_offsets": [0, 1]}}', 1),
        (b'{"a": {"dtype": "U8", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 1]}}', 1),
        ({"a": tensor(0, 2, [3], "F4")}, 2),  # one and a half bytes
        ({"a": tensor(0, 4, [1], "<script>")}, 4),
        ({"a": tensor(0, 4, [1], "Z" * 33)}, 4),
        (b"[]", 0),
        (b"{", 0),
        (b"[" * 100_000, 0),
    ],
)
def test_inconsistent_header_is_rejected(tmp_path: Path, header: Any, data: int):
    with pytest.raises(Unsound):
        read_header(write(tmp_path / "a", header, data))


@pytest.mark.parametrize("length", [0, 10**6, 2**63])
def test_wrong_length_is_rejected(tmp_path: Path, length: int):
    with pytest.raises(Unsound):
        read_header(write(tmp_path / "a", {}, length=length))


def test_huge_header_is_not_read(tmp_path: Path):
    path = write(tmp_path / "a", b"{", length=MOST_HEADER_BYTES + 1)
    os.truncate(path, 8 + MOST_HEADER_BYTES + 1)
    assert read_header(path) is None


def test_changed_file_is_read_again(tmp_path: Path):
    path = write(tmp_path / "a", {"a": tensor(0, 4, [1])}, 4)
    assert read_header(path) is not None
    write(path, {"a": tensor(0, 4, [1])}, 3)
    with pytest.raises(Unsound):
        read_header(path)


def test_pipe_does_not_block(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert read_header(tmp_path / "pipe") is None


def test_header_with_too_many_parts_is_not_parsed(tmp_path: Path):
    text = b'{"a": [' + b"[]," * 200_000 + b"[]]}"
    assert read_header(write(tmp_path / "a", text)) is None


def test_metadata_is_limited(tmp_path: Path):
    metadata = {"format": "pt", "long": "x" * 100_000}
    found = read_header(write(tmp_path / "a", {"__metadata__": metadata, "a": tensor(0, 4, [1])}, 4))
    assert found is not None
    assert (found.metadata, found.dtype, found.parameters) == ({"format": "pt"}, "F32", 1)


def test_shards_are_merged():
    one, other = Header({"a": (2,)}, {"F32": 8}), Header({"b": (3,)}, {"F32": 12, "F16": 2})
    found = merged([one, other])
    assert (dict(found.shapes), dict(found.dtype_bytes)) == ({"a": (2,), "b": (3,)}, {"F32": 20, "F16": 2})


def test_no_mutation_of_a_header_breaks_the_reader(tmp_path: Path):
    """`make test-long` sets the number of mutations."""
    random = Random(7)
    text = json.dumps({"__metadata__": {"f": "pt"}, "a": tensor(0, 24, [2, 3]), "b.c": tensor(24, 32, [4], "F16")})
    complete = struct.pack("<Q", len(text)) + text.encode() + bytes(32)
    path = tmp_path / "a"
    for number in range(length(10_000, 300)):
        path.write_bytes(mutated(complete, random))
        os.utime(path, ns=(number, number))
        with suppress(Unsound):
            found = read_header(path)
            assert found is None or all(isinstance(name, str) for name in found.shapes)


def mutated(complete: bytes, random: Random) -> bytes:
    text = bytearray(complete)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(text))
        match random.randrange(5):
            case 0:
                text[at] = random.randrange(256)
            case 1:
                del text[at : at + random.randint(1, 40)]
            case 2:
                text[at:at] = random.choice(
                    [b"[" * 3000, b"9" * 5000, b"{", b'"a":', b"\xff", b"1e999", b"NaN", b"\\u0000"]
                )
            case 3:
                text[at : at + 8] = random.randbytes(8)
            case _:
                text[:8] = struct.pack("<Q", random.choice([0, 1, 2**63, 99_999_999, len(text), len(text) - 8]))
    return bytes(text)
