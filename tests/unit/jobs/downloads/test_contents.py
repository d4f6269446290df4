from pathlib import Path

import pytest

from api.jobs.downloads.contents import check_content
from api.jobs.errors import JobFailed
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in

ZIP = b"PK\x03\x04" + bytes(40) + b"PK\x05\x06" + bytes(18)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.safetensors", ZIP),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n"),
        ("A.SAFETENSORS", b"<html>"),
        ("a.sft", b""),
        ("a.bin", b"cos\nsystem\n(S'true'\ntR."),
        ("a.ckpt", b"\x80\x02}q\x00."),
        ("notes.txt", ZIP),
        ("notes.txt", b"cos\nsystem\n(S'true'\ntR."),
        ("a.th", b"something else"),
    ],
)
def test_broken_weights_and_code_are_rejected(tmp_path: Path, name: str, content: bytes):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(JobFailed):
        check_content(tmp_path / "x", name, allows_pickles=False)


def test_plain_and_allowed_files_are_accepted(tmp_path: Path):
    (tmp_path / "x").write_bytes(ZIP)
    check_content(tmp_path / "x", "a.pth", allows_pickles=True)
    (tmp_path / "x").write_bytes(b'{"a": 1}')
    check_content(tmp_path / "x", "config.json", allows_pickles=False)
    path = write_stand_in(tmp_path / "y", STAND_INS["vae-flux"])
    check_content(path, "ae.safetensors", allows_pickles=False)


def test_safetensors_with_the_name_of_a_pickle_are_rejected(tmp_path: Path):
    path = write_stand_in(tmp_path / "y", STAND_INS["vae-flux"])
    with pytest.raises(JobFailed, match="can contain code"):
        check_content(path, "ae.bin", allows_pickles=False)
    check_content(path, "ae.bin", allows_pickles=True)
