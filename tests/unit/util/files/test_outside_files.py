import os
from pathlib import Path

import pytest

from api.util.files.outside_files import MOST_BYTES, open_regular, read_secret_file, sync_directory


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


def test_only_a_directory_can_be_synced(tmp_path: Path):
    sync_directory(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "gone")


def test_unchanged_file_is_not_read_again(tmp_path: Path):
    path = tmp_path / "key"
    path.write_bytes(b"one")
    first = read_secret_file(path)
    assert first.content == b"one"
    assert read_secret_file(path, first) is first
    path.write_bytes(b"other")
    assert read_secret_file(path, first).content == b"other"


def test_overlong_and_irregular_files_are_rejected(tmp_path: Path):
    path = tmp_path / "key"
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(OSError, match="more than"):
        read_secret_file(path)
    with pytest.raises(OSError, match="no plain file"):
        read_secret_file(tmp_path)
