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


def test_a_log_that_is_not_there_is_empty(files: LogFiles):
    span = files.span()
    assert (span.first, span.end, span.newlines, span.lines_before) == (0, 0, 0, 0)
    assert (files.read(5, 10), files.time_at(0), files.offset_at(0.0), files.times_between(0, 9)) == (
        (5, b""),
        None,
        0,
        [],
    )
    assert LogFilesCursor(files, 0).read(10) == (0, b"")


def test_newlines_are_counted_over_segments_that_are_gone(files: LogFiles, writer: LogWriter):
    for number in range(2000):
        writer.write(line(number))
    span = files.span()
    assert (span.end, span.newlines) == (22_000, 2000)
    assert span.first == span.lines_before * 11 > 0
    assert files.newlines_before(span.first + 25) == span.lines_before + 2
    assert files.newlines_before(0) == 0


def test_a_cursor_reads_over_segments_and_waits_at_the_end(files: LogFiles, writer: LogWriter):
    cursor, seen = LogFilesCursor(files, 0), b""
    for number in range(500):
        writer.write(line(number))
        seen += cursor.read(10_000)[1]
        assert cursor.read(10_000) == (len(seen), b"")
    assert seen == b"".join(map(line, range(500)))
    cursor.close()


def test_a_cursor_whose_segments_were_removed_goes_on_behind_them(files: LogFiles, writer: LogWriter):
    writer.write(line(0))
    cursor = LogFilesCursor(files, 0)
    cursor.read(100)
    for number in range(1, 5000):
        writer.write(line(number))
    began, content = cursor.read(22)
    while began < files.first():
        # What it holds open it may still read.
        began, content = cursor.read(2000)
    assert began == files.first()
    assert content.startswith(line(began // 11))
    cursor.close()


def test_a_cursor_goes_on_when_the_end_of_its_segment_was_moved_into_the_next(files: LogFiles, writer: LogWriter):
    # The segment is cut behind its last newline, and what follows begins the next one.
    cursor, seen = LogFilesCursor(files, 0), b""
    for number in range(400):
        content = line(number)
        for part in (content[:4], content[4:]):
            writer.write(part)
            seen += cursor.read(10_000)[1]
    assert seen == b"".join(map(line, range(400)))
    cursor.close()


def test_written_at_once_or_in_parts_it_is_the_same(files: LogFiles, writer: LogWriter):
    writer.write(b"one\ntw")
    writer.write(b"o\n")
    assert files.read(0, 100) == (0, b"one\ntwo\n")


def test_a_listing_is_kept_until_the_directory_changes(
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


def test_a_listing_that_has_just_changed_is_not_kept(files: LogFiles, writer: LogWriter):
    # Both changes may be in the same tick of the file system's clock.
    changed_at = os.stat(files.directory).st_mtime_ns
    assert files.starts() == [0]
    writer.write(line(0) * 200)
    os.utime(files.directory, ns=(changed_at, changed_at))
    assert files.starts() == segment_starts(str(files.directory)) != [0]


def test_a_name_whose_digits_are_no_numbers_is_no_segment(files: LogFiles, writer: LogWriter):
    writer.write(line(1))
    (files.directory / ("\N{SUPERSCRIPT TWO}" * 20 + ".log")).write_bytes(b"x")
    assert segment_starts(str(files.directory)) == [0]
