"""The server's own log: lines of loggers in a file, even with a failing disk."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.domain.log import LogLevel
from api.executors.attempt.log import LogWriter
from api.executors.log_files import LogFiles
from api.logs import server_log
from api.logs.server_log import ServerLines, ServerLog


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "server-log"


def open_log(directory: Path) -> ServerLog:
    return ServerLog(LogFiles(directory), LogWriter(str(directory), 2**20, 2**24), as_json=True)


@pytest.fixture
def log(directory: Path) -> Iterator[ServerLog]:
    made = open_log(directory)
    yield made
    made.stop()


def messages(log: ServerLog) -> list[str]:
    return [line.message for line in log.source.reader().tail(1000).logs]


def test_lines_of_loggers_are_stored(log: ServerLog):
    log.start()
    logging.getLogger("some.part").warning("careful", extra={"task_id": "t1"})
    log.stop()
    [line] = log.source.reader().tail(10).logs
    assert '"message":"careful","task_id":"t1"' in line.message
    assert line.level is LogLevel.WARNING


def test_log_continues_after_an_earlier_server(log: ServerLog, directory: Path):
    log.write("one\n")
    log.stop()
    later = open_log(directory)
    later.write("two\n")
    later.stop()
    assert messages(later) == ["one", "two"]


def test_one_of_two_servers_writes_and_the_other_takes_over(log: ServerLog, directory: Path):
    other = open_log(directory)
    log.write("mine\n")
    log.flush()
    other.write("lost\n")
    other.flush()
    log.stop()
    other.write("theirs\n")
    other.stop()
    assert messages(other) == ["mine", "theirs"]


def test_directory_that_cannot_be_created_is_ignored(tmp_path: Path):
    (tmp_path / "file").write_text("")
    log = open_log(tmp_path / "file" / "below")
    log.write("lost\n")
    log.stop()
    assert log.source.content.end() == 0


def test_storage_that_was_moved_away_is_not_created_again(log: ServerLog, directory: Path):
    away = directory.parent.rename(directory.parent.with_name("away"))
    log.write("lost\n")
    log.flush()
    assert not directory.parent.exists()
    away.rename(directory.parent)


def test_size_of_the_log_is_limited(log: ServerLog):
    for _ in range(300):
        log.write("x" * 9_999 + "\n")
        log.flush()
    assert log.source.content.end() - log.source.content.first() <= 2**20
    assert log.source.content.end() == 3_000_000


def test_queue_is_bounded(log: ServerLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_log, "CAPACITY", 10)
    for number in range(100):
        log.write(f"{number}\n")
    log.flush()
    log.write("after\n")
    log.flush()
    assert messages(log) == ["0", "1", "2", "3", "4", "after"]


def test_levels_are_read_from_both_formats_and_continue_in_a_traceback():
    lines = ServerLines()
    lines_of_levels = [
        '{"time":"2026-01-01T00:00:00.000Z","level":"ERROR","message":"x"}',
        "2026-01-01 00:00:00 WARNING careful",
        "2026-01-01 00:00:00 ERROR   wrong",
        "Traceback (most recent call last):",
        "2026-01-01 00:00:00 INFO    fine",
        "2026-01-01 00:00:00 DEBUG   more",
    ]
    assert [lines.read(line).level for line in lines_of_levels] == [
        "error",
        "warning",
        "error",
        "error",
        "info",
        "debug",
    ]
