from pathlib import Path

import pytest

from api.jobs.errors import StopRequested
from api.jobs.pushes.watched_file import WatchedFile


def test_only_sent_bytes_are_reported(tmp_path: Path):
    (tmp_path / "w").write_bytes(b"x" * 100)
    result: list[int] = []
    with WatchedFile(tmp_path / "w", result.append, lambda: False) as file:
        assert len(file.read(60)) == 60
        file.seek(0)
        file.is_sent = True
        while file.read(40):
            pass
    assert result == [40, 80, 100, 100]


def test_reading_stops_with_the_program(tmp_path: Path):
    (tmp_path / "w").write_bytes(b"x")
    with WatchedFile(tmp_path / "w", print, lambda: True) as file, pytest.raises(StopRequested):
        file.read(1)
