"""Reading the tensors of a file of torch, which may be hostile."""

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from api.files.weights.torch_archive import StoredTensor, TorchArchive, UnreadableArchive
from tests.unit.files.weights.torch_files import call, changed, storage, tensor, write_archive, write_tensors

BYTES = bytes(range(24))


def read(path: Path) -> dict[str, tuple[StoredTensor, bytes]]:
    with path.open("rb") as file:
        archive = TorchArchive(file)
        return {name: (each, b"".join(archive.read(each))) for name, each in archive.tensors.items()}


def test_tensors_are_read_with_their_bytes(tmp_path: Path):
    path = tmp_path / "layer.pt"
    write_tensors(path, {"a": ("BFloat16Storage", (3, 4), BYTES), "b": ("FloatStorage", (2, 1, 3), BYTES)})
    found = read(path)
    assert {name: (each.dtype, each.shape, content) for name, (each, content) in found.items()} == {
        "a": ("BF16", (3, 4), BYTES),
        "b": ("F32", (2, 1, 3), BYTES),
    }


def test_part_of_a_storage_is_read(tmp_path: Path):
    path = tmp_path / "layer.pt"
    write_archive(path, {"a": tensor("HalfStorage", "0", (2, 2), offset=3)}, {"0": BYTES})
    assert read(path)["a"][1] == BYTES[6:14]


def test_values_other_than_tensors_are_ignored(tmp_path: Path):
    path = tmp_path / "layer.pt"
    content = {"step": 5, "a": tensor("HalfStorage", "0", (2,)), "none": None, 7: tensor("HalfStorage", "0", (2,))}
    write_archive(path, content, {"0": BYTES})
    assert list(read(path)) == ["a"]


def test_attribute_that_the_pickle_sets_is_not_called(tmp_path: Path):
    path = tmp_path / "layer.pt"
    write_archive(path, changed(OrderedDict(a=tensor("HalfStorage", "0", (2,))), {"items": {}}), {"0": BYTES})
    assert list(read(path)) == ["a"]


class Evil:
    """Executes a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/executed-by-a-pickle",)


@pytest.mark.parametrize(
    "content",
    [
        {"a": Evil()},
        {"a": call("torch.load", "x")},
        {"a": call("torch._utils._rebuild_tensor", "x")},
        [tensor("HalfStorage", "0", (2,))],
        {"a": tensor("HalfStorage", "missing", (2,))},
        {"a": tensor("HalfStorage", "0", (13,))},
        {"a": tensor("HalfStorage", "0", (2,), offset=11)},
        {"a": tensor("HalfStorage", "0", (2, 2), steps=(1, 2))},
        {"a": tensor("HalfStorage", "0", (-1, -2))},
        {"a": tensor("HalfStorage", "0", (2**50,))},
        {"a": tensor("QuantizedStorage", "0", (2,))},
        {"a": tensor("HalfStorage", "../../0", (2,))},
        {"a": changed(tensor("HalfStorage", "0", (2,)), [storage("HalfStorage", "0"), -4, (-2, -3), (3, 1)])},
        {"a": changed(tensor("HalfStorage", "0", (2,)), [storage("HalfStorage", "0"), 0, [2], [1]])},
        {"a": changed(tensor("HalfStorage", "0", (2,)), ["0", 0, (2,), (1,)])},
        {"a": changed(tensor("HalfStorage", "0", (2,)), [changed(storage("HalfStorage", "0"), [("x",), "0"])])},
        {"a": tensor("HalfStorage", "0", (2**38,) * 70 + (0,), steps=(0,) * 70 + (1,))},
    ],
    ids=[
        "command",
        "load",
        "call",
        "list",
        "missing",
        "too-long",
        "offset",
        "steps",
        "negative",
        "huge",
        "quantised",
        "path",
        "changed-numbers",
        "changed-types",
        "changed-storage",
        "changed-kind",
        "many-dimensions",
    ],
)
def test_hostile_content_is_rejected_and_not_executed(tmp_path: Path, content: Any):
    path = tmp_path / "layer.pt"
    write_archive(path, content, {"0": BYTES})
    with pytest.raises(UnreadableArchive):
        read(path)
    assert not Path("/tmp/executed-by-a-pickle").exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"x" * 5000, pickle.dumps({"a": 1}, protocol=2)], ids=["empty", "cut", "x", "old"]
)
def test_file_that_is_no_archive_is_rejected(tmp_path: Path, content: bytes):
    path = tmp_path / "layer.pt"
    path.write_bytes(content)
    with pytest.raises(UnreadableArchive):
        read(path)


def test_compressed_storage_is_rejected(tmp_path: Path):
    path = tmp_path / "layer.pt"
    write_archive(path, {"a": tensor("HalfStorage", "0", (2,))}, {"0": BYTES}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UnreadableArchive):
        read(path)


def test_damaged_bytes_are_detected(tmp_path: Path):
    path = tmp_path / "layer.pt"
    write_tensors(path, {"a": ("HalfStorage", (12,), BYTES)})
    content = path.read_bytes()
    path.write_bytes(content.replace(BYTES, BYTES[::-1]))
    with pytest.raises(UnreadableArchive):
        read(path)
