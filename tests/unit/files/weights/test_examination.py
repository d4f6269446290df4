import os
import pickle
from pathlib import Path

import pytest

from api.domain.models.weights import FileForm, Quantisation
from api.files.weights.examination import detect_form, examine
from tests.unit.files.weights.stand_ins import STAND_INS, header_bytes, write_stand_in


def test_complete_file_is_described(tmp_path: Path):
    path = write_stand_in(tmp_path / "a.bin", STAND_INS["z-image"], "F8_E4M3", {"format": "pt"})
    found = examine(path)
    assert (found.form, found.is_whole, found.problem) == (FileForm.SAFETENSORS, True, None)
    assert (found.title, found.dtype, found.quantisation) == (
        "the transformer of Z-Image",
        "F8_E4M3",
        Quantisation.PLAIN_FP8,
    )
    assert (found.parameters, found.tensors, found.metadata) == (3840 * 2560 + 16, 2, {"format": "pt"})


def test_incomplete_download_is_detected(tmp_path: Path):
    path = write_stand_in(tmp_path / "a", STAND_INS["z-image"])
    os.truncate(path, path.stat().st_size - 1)
    found = examine(path)
    assert (found.is_whole, found.component) == (False, None)
    assert "short" in str(found.problem)


@pytest.mark.parametrize(
    ("start", "form"),
    [
        (b"", FileForm.EMPTY),
        (b"version https://git-lfs.github.com/spec/v1\n", FileForm.LFS_POINTER),
        (b"\n<!DOCTYPE html>", FileForm.WEB_PAGE),
        (b"<HTML>", FileForm.WEB_PAGE),
        (b"GGUF\x03", FileForm.GGUF),
        (b"PK\x03\x04", FileForm.TORCH_ZIP),
        (b"\x80\x04\x95", FileForm.PICKLE),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00[", FileForm.OTHER),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{", FileForm.SAFETENSORS),
        # Headers of 640, 1408, 66,176 and 8,508 bytes.
        (b"\x80\x02\x00\x00\x00\x00\x00\x00{", FileForm.SAFETENSORS),
        (b"\x80\x05\x00\x00\x00\x00\x00\x00{", FileForm.SAFETENSORS),
        (b"\x80\x02\x01\x00\x00\x00\x00\x00{", FileForm.SAFETENSORS),
        (b"<!\x00\x00\x00\x00\x00\x00{", FileForm.SAFETENSORS),
        # Pickles and a zip that would be too long headers.
        (b"\x80\x02X\x05\x00\x00\x00\x00{", FileForm.PICKLE),
        (b"PK\x03\x04\x00\x00\x00\x00{", FileForm.TORCH_ZIP),
        (pickle.dumps([1], 0), FileForm.PICKLE),
        (pickle.dumps({}, 1), FileForm.PICKLE),
        (pickle.dumps(Path("a"), 0), FileForm.PICKLE),
        (b"cos\nsystem\n(S'true'\ntR.", FileForm.PICKLE),
        (b"cat\ndog\npony\n", FileForm.OTHER),
        (b'[{"a": 1}]', FileForm.OTHER),
    ],
)
def test_form_is_detected_from_the_first_bytes(start: bytes, form: FileForm):
    assert detect_form(start) is form


def test_pickle_with_the_name_of_safetensors_is_detected(tmp_path: Path):
    (tmp_path / "a.safetensors").write_bytes(b"PK\x03\x04" + bytes(60))
    found = examine(tmp_path / "a.safetensors")
    assert (found.form, found.is_whole) == (FileForm.TORCH_ZIP, False)
    (tmp_path / "a.safetensors").write_bytes(b"PK\x03\x04" + bytes(60) + b"PK\x05\x06" + bytes(18))
    found = examine(tmp_path / "a.safetensors")
    assert (found.form, found.is_whole) == (FileForm.TORCH_ZIP, True)
    assert "code" in str(found.problem)


def test_too_large_header_is_not_judged(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes((9 * 2**20).to_bytes(8, "little") + b"{")
    os.truncate(path, 10 * 2**20)
    assert examine(path).is_whole is None


def test_adapter_is_described(tmp_path: Path):
    found = examine(write_stand_in(tmp_path / "a", {"a.lora_A.weight": [8, 4], "a.lora_B.weight": [4, 8]}))
    assert found.title == "an adapter (lora)"


def test_special_file_does_not_block(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        examine(tmp_path / "pipe")


def test_file_of_an_unknown_component_has_no_title(tmp_path: Path):
    start, size = header_bytes({"w": [4]})
    (tmp_path / "a").write_bytes(start + bytes(size))
    assert examine(tmp_path / "a").title is None
