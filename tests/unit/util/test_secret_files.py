from pathlib import Path

import pytest

from api.util.secret_files import MOST_BYTES, read_secret_file


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path):
    path = tmp_path / "key"
    path.write_bytes(b"one")
    first = read_secret_file(path)
    assert first.content == b"one"
    assert read_secret_file(path, first) is first
    path.write_bytes(b"other")
    assert read_secret_file(path, first).content == b"other"


def test_a_file_beyond_the_bound_and_what_is_none_are_refused(tmp_path: Path):
    path = tmp_path / "key"
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(OSError, match="more than"):
        read_secret_file(path)
    with pytest.raises(OSError, match="no plain file"):
        read_secret_file(tmp_path)
