import os
from pathlib import Path

import pytest

from api.util.regular_files import open_regular


def test_regular_file_is_opened_also_through_a_link(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"text"


@pytest.mark.parametrize("name", ["directory", "pipe", "missing", "x" * 300, "loop", "/dev/zero"])
def test_anything_else_counts_as_missing(tmp_path: Path, name: str):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"file|loop|long|directory"):
        open_regular(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_invalid_path_is_a_value_error(text: str):
    with pytest.raises(ValueError, match=r"null|surrogates"):
        open_regular(text)
