"""Reading a log while it is written, rolled and cut."""

import os
from pathlib import Path

import pytest

from api.executors import log_files
from api.executors.attempt.log import LogWriter
from api.executors.attempt.segments import segment_starts
from api.executors.log_files import LogFiles, LogFilesCursor


@pytest.fixture
def files(tmp_path: Path) -> LogFiles:
    return LogFiles(tmp_path / "log")


@pytest.fixture
def writer(files: LogFiles) -> LogWriter:
    made = LogWriter(str(files.directory), 8000, 1000)
    made.open()
    return made


def line(number: int) -> bytes:
    return b"line %05d\n" % number


def test_missing_log_is_empty(files: LogFiles):
    span = files.span()
    assert (span.first, span.end, span.newlines, span.lines_before) == (0, 0, 0, 0)
    assert (files.read(5, 10), files.time_at(0), files.offset_at(0.0), files.times_between(0, 9)) == (
        (5, b""),
        None,
        0,
        [],
    )
    assert LogFilesCursor(files, 0).read(10) == (0, b"")


def test_newlines_of_deleted_segments_are_counted(files: LogFiles, writer: LogWriter):
    for number in range(2000):
        writer.write(line(number))
    span = files.span()
    assert (span.end, span.newlines) == (22_000, 2000)
    assert span.first == span.lines_before * 11 > 0
    assert files.newlines_before(span.first + 25) == span.lines_before + 2
    assert files.newlines_before(0) == 0


def test_cursor_reads_across_segments_and_waits_at_the_end(files: LogFiles, writer: LogWriter):
    cursor, seen = LogFilesCursor(files, 0), b""
    for number in range(500):
        writer.write(line(number))
        seen += cursor.read(10_000)[1]
        assert cursor.read(10_000) == (len(seen), b"")
    assert seen == b"".join(map(line, range(500)))
    cursor.close()


def test_cursor_continues_after_deleted_segments(files: LogFiles, writer: LogWriter):
    writer.write(line(0))
    cursor = LogFilesCursor(files, 0)
    cursor.read(100)
    for number in range(1, 5000):
        writer.write(line(number))
    began, content = cursor.read(22)
    while began < files.first():
        # It may still read the file that it holds open.
        began, content = cursor.read(2000)
    assert began == files.first()
    assert content.startswith(line(began // 11))
    cursor.close()


def test_cursor_continues_when_its_segments_end_moved_to_the_next(files: LogFiles, writer: LogWriter):
    # The segment is cut after its last newline; the rest starts the next one.
    cursor, seen = LogFilesCursor(files, 0), b""
    for number in range(400):
        content = line(number)
        for part in (content[:4], content[4:]):
            writer.write(part)
            seen += cursor.read(10_000)[1]
    assert seen == b"".join(map(line, range(400)))
    cursor.close()


def test_result_does_not_depend_on_the_chunks_written(files: LogFiles, writer: LogWriter):
    writer.write(b"one\ntw")
    writer.write(b"o\n")
    assert files.read(0, 100) == (0, b"one\ntwo\n")


def test_listing_is_cached_until_the_directory_changes(
    files: LogFiles, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
):
    for number in range(200):
        writer.write(line(number))
    os.utime(files.directory, (0, 0))
    listings = []
    monkeypatch.setattr(log_files, "segment_starts", lambda path: listings.append(path) or segment_starts(path))
    assert files.starts() is files.starts()
    assert len(listings) == 1
    for number in range(200, 400):
        writer.write(line(number))
    assert files.starts() == segment_starts(str(files.directory))


def test_listing_of_a_recent_change_is_not_cached(files: LogFiles, writer: LogWriter):
    # Both changes may be in the same tick of the file system's clock.
    changed_at = os.stat(files.directory).st_mtime_ns
    assert files.starts() == [0]
    writer.write(line(0) * 200)
    os.utime(files.directory, ns=(changed_at, changed_at))
    assert files.starts() == segment_starts(str(files.directory)) != [0]


def test_name_with_non_ascii_digits_is_not_a_segment(files: LogFiles, writer: LogWriter):
    writer.write(line(1))
    (files.directory / ("\N{SUPERSCRIPT TWO}" * 20 + ".log")).write_bytes(b"x")
    assert segment_starts(str(files.directory)) == [0]
