"""A log behaves equally on disk, as a supervisor writes it, and in memory."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from api.domain.log import LogSpan, LogTime
from api.executors.attempt.log import LogWriter
from api.executors.executor import Log
from api.executors.fake import MemoryLog
from api.executors.log_files import LogFiles

Write = Callable[[bytes, float], None]


def _on_disk(directory: Path, patched: pytest.MonkeyPatch) -> tuple[Log, Write]:
    writer = LogWriter(str(directory), 2**30, 2**24)

    def write(content: bytes, at: float) -> None:
        for clock in ("time", "monotonic"):
            patched.setattr(f"api.executors.attempt.log.time.{clock}", lambda: at)
        writer.open() if writer.end == 0 else None
        writer.write(content)

    return LogFiles(directory), write


def _in_memory(directory: Path, patched: pytest.MonkeyPatch) -> tuple[Log, Write]:
    log = MemoryLog(directory)
    return log, log.add


@pytest.fixture(params=[_on_disk, _in_memory])
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Log, Write]:
    """Return a log and a function that writes to it at a given time."""
    both: tuple[Log, Write] = request.param(tmp_path / "log", monkeypatch)
    return both


@pytest.fixture
def log(made: tuple[Log, Write]) -> Log:
    found, write = made
    for number in range(4):
        write(b"line %d\n" % number, 1000.0 + number)
    return found


def test_unstarted_log_is_empty(made: tuple[Log, Write]):
    log, _ = made
    assert (log.first(), log.end(), log.span()) == (0, 0, LogSpan(0, 0, 0, 0))
    assert log.read(5, 10) == (5, b"")
    assert (list(log.times_between(0, 9)), log.newlines_before(9), log.offset_at(0.0)) == ([], 0, 0)
    assert log.open_parts()[0] == 0


def test_bytes_are_read_by_offset(log: Log):
    assert log.span() == LogSpan(0, 28, 0, 4)
    assert log.read(7, 7) == (7, b"line 1\n")
    assert log.read(28, 7) == (28, b"")
    assert log.newlines_before(15) == 2


def test_times_are_found_by_offset_and_offsets_by_time(log: Log):
    assert list(log.times_between(8, 20)) == [LogTime(7, 1, 1001.0), LogTime(14, 2, 1002.0)]
    assert [log.offset_at(at) for at in (0.0, 1001.0, 1001.5, 1003.0, 2000.0)] == [0, 7, 14, 21, 28]


def test_cursor_continues_at_its_offset(made: tuple[Log, Write], log: Log):
    cursor = log.follow(21)
    assert cursor.read(100) == (21, b"line 3\n")
    assert (cursor.read(100), cursor.offset) == ((28, b""), 28)
    made[1](b"more\n", 1010.0)
    assert cursor.read(100) == (28, b"more\n")
    cursor.close()


def test_whole_log_can_be_held_open(log: Log):
    first, parts = log.open_parts()
    assert (first, [os.pread(part.descriptor, part.size, 0) for part in parts]) == (0, [log.read(0, 100)[1]])
    for part in parts:
        os.close(part.descriptor)
