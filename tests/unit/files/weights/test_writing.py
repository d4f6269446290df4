"""Writing safetensors files, compared with the library of that name."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from api.files.weights.rewriting import convert, make_header, order_tensors


def test_file_equals_that_of_the_library(tmp_path: Path):
    arrays = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.arange(4, dtype=np.float16),
        "c": np.array(5, dtype=np.float32),
        "d": np.arange(3, dtype=np.float16),
    }
    types = {name: ("F32" if each.dtype == np.float32 else "F16", each.shape) for name, each in arrays.items()}
    made = make_header(types, {"format": "pt"}) + b"".join(arrays[name].tobytes() for name in order_tensors(types))
    save_file(arrays, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert made == (tmp_path / "x.safetensors").read_bytes()


#: Values of float32, and what torch makes of them in bfloat16 and float16, as unsigned numbers.
VALUES = [
    (0.0, 0x0000, 0x0000),
    (-0.0, 0x8000, 0x8000),
    (1.0, 0x3F80, 0x3C00),
    (0.1, 0x3DCD, 0x2E66),
    (1.00390625, 0x3F80, 0x3C04),  # a tie, rounded to even
    (1.01171875, 0x3F82, 0x3C0C),
    (3.3895314e38, 0x7F7F, 0x7C00),
    (3.4028235e38, 0x7F80, 0x7C00),
    (float("inf"), 0x7F80, 0x7C00),
]


@pytest.mark.parametrize(("value", "bf16", "f16"), VALUES)
def test_elements_are_rounded_as_torch_rounds_them(value: float, bf16: int, f16: int):
    content = np.array([value], dtype="<f4").tobytes()
    assert int.from_bytes(convert(content, "F32", "BF16"), "little") == bf16
    assert int.from_bytes(convert(content, "F32", "F16"), "little") == f16


def test_not_a_number_stays_one():
    content = np.array([0x7FFFFFFF, 0xFF800001], dtype="<u4").tobytes()
    found = np.frombuffer(convert(content, "F32", "BF16"), "<u2")
    assert [int(each) & 0x7F80 for each in found] == [0x7F80, 0x7F80]
    assert all(int(each) & 0x7F for each in found)


@pytest.mark.parametrize("kind", ["BF16", "F16"])
def test_wider_elements_keep_every_value(kind: str):
    every = np.arange(2**16, dtype="<u2")
    finite = every[np.isfinite(np.frombuffer(convert(every.tobytes(), kind, "F32"), "<f4"))]
    assert convert(convert(finite.tobytes(), kind, "F32"), "F32", kind) == finite.tobytes()
