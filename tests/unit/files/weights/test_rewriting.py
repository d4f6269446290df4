import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from api.files.weights.header import Unsound
from api.files.weights.rewriting import rewrite


def rewritten(path: Path, metadata: dict[str, str]) -> Path:
    made = path.with_name("made.safetensors")
    handle = os.open(path, os.O_RDONLY)
    with made.open("wb") as file:
        rewrite(handle, metadata, lambda part: (file.write(part), None)[1])
    os.close(handle)
    return made


def test_metadata_is_added_and_tensors_are_unchanged(tmp_path: Path):
    tensors = {f"layer.{n}.weight": np.random.default_rng(n).random((3, n + 1), np.float32) for n in range(20)}
    tensors["half"] = np.arange(7, dtype=np.float16)
    save_file(tensors, tmp_path / "a.safetensors", {"format": "pt"})
    made = rewritten(tmp_path / "a.safetensors", {"trigger": "ohwx «cat»"})
    with safe_open(made, "numpy") as file:
        assert file.metadata() == {"format": "pt", "trigger": "ohwx «cat»"}
        assert set(file.keys()) == set(tensors)
        for name, tensor in tensors.items():
            found = file.get_tensor(name)
            assert (found.dtype, found.tobytes()) == (tensor.dtype, tensor.tobytes())


def test_incomplete_file_is_not_rewritten(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(Unsound):
        rewritten(tmp_path / "a", {})


def test_too_long_header_is_rejected(tmp_path: Path):
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="8 MiB"):
        rewritten(tmp_path / "a.safetensors", {"x": "y" * 9 * 2**20})
