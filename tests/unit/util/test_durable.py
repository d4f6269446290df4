from pathlib import Path

import pytest

from api.util.durable import sync_directory


def test_only_a_directory_can_be_synced(tmp_path: Path):
    sync_directory(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "gone")
