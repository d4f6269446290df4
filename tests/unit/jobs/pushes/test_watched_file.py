from pathlib import Path

import pytest

from api.jobs.downloads.refusal import StopAsked
from api.jobs.pushes.watched_file import WatchedFile


def test_only_what_is_sent_is_told(tmp_path: Path):
    (tmp_path / "w").write_bytes(b"x" * 100)
    told: list[int] = []
    with WatchedFile(tmp_path / "w", told.append, lambda: False) as file:
        assert len(file.read(60)) == 60
        file.seek(0)
        file.is_sent = True
        while file.read(40):
            pass
    assert told == [40, 80, 100, 100]


def test_reading_ends_when_the_program_shall_end(tmp_path: Path):
    (tmp_path / "w").write_bytes(b"x")
    with WatchedFile(tmp_path / "w", print, lambda: True) as file, pytest.raises(StopAsked):
        file.read(1)
