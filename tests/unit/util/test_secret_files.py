from pathlib import Path

import pytest

from api.util.secret_files import MOST_BYTES, read_secret_file


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
