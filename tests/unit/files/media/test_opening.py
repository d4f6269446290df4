import os
from pathlib import Path

import pytest

from api.files.media.opening import NotPlain, open_plain


def test_regular_file_is_opened(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"bytes")
    with open_plain(tmp_path / "a") as file:
        assert file.read() == b"bytes"


@pytest.mark.parametrize("kind", ["directory", "pipe", "link", "nothing"])
def test_special_file_is_not_opened(tmp_path: Path, kind: str):
    path = tmp_path / "a"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        (tmp_path / "b").touch()
        path.symlink_to(tmp_path / "b")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotPlain):
        open_plain(path)
    assert len(os.listdir("/proc/self/fd")) == before
