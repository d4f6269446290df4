from pathlib import Path

import pytest

from api.logs import lines as line_stream
from api.trainers.protocol.log_lines import LineClassifier
from tests.unit.log_making import MadeLog


@pytest.fixture
def log(tmp_path: Path) -> MadeLog:
    return MadeLog(tmp_path / "log", segment_bytes=4096)


def numbered(count: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(count))


@pytest.mark.usefixtures("short_lines")
def test_overlong_line_is_cut_at_the_same_offsets_for_every_reader(log: MadeLog):
    log.write(b"head\n" + b"x" * 200 + b"\ntail\n")
    reader = log.reader()
    whole = reader.read_from(0, 2**20).logs
    assert [line.offset for line in whole] == [0, 5, 64, 128, 192, 206]
    assert [line.truncated for line in whole] == [False, True, True, True, True, False]
    assert [line.line_number for line in whole] == [1, 2, 2, 2, 2, 3]
    for line in whole:
        assert reader.read_from(line.offset, 1).logs[0] == line
    assert [line.offset for line in reader.tail(1000, limit_bytes=100).logs] == [128, 192, 206]


@pytest.mark.usefixtures("short_lines")
def test_endless_line_is_cut_as_it_grows(log: MadeLog):
    log.write(b"x" * 100)
    page = log.reader().read_from(0, 2**20)
    assert [(line.offset, line.is_complete) for line in page.logs] == [(0, True), (64, False)]
    assert (page.next_offset, page.has_more) == (64, False)


def test_endless_progress_bar_is_one_changing_line(log: MadeLog):
    for percent in range(101):
        log.write(b"\r%3d%%" % percent)
    [line] = log.reader().tail(10).logs
    assert (line.message, line.is_complete, line.offset) == ("100%", False, 0)


def test_lines_without_stored_times_have_none(log: MadeLog):
    log.write(b"one\ntwo\n")
    for path in log.files.directory.glob("*.times"):
        path.unlink()
    lines = log.reader().tail(2).logs
    assert [(line.message, line.line_number, line.timestamp) for line in lines] == [("one", 1, None), ("two", 2, None)]


def test_traceback_that_started_before_the_page_is_recognised(log: MadeLog):
    log.write(b"Traceback (most recent call last):\n" + b'  File "x"\n' * 50 + b"ValueError: no\nfine\n")
    assert [line.level for line in log.reader().tail(3).logs] == ["error", "error", "info"]


def test_lines_deleted_during_the_read_are_not_misnumbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = MadeLog(tmp_path / "log", max_bytes=4000, segment_bytes=1000)
    for line in numbered(1000).splitlines(keepends=True):
        log.write(line)
    stream = line_stream.LineStream(log.files, 1, LineClassifier)
    counted = log.files.newlines_before

    def count_late(offset: int) -> int:
        monkeypatch.undo()
        for number in range(1000, 3000):
            log.write(b"line %d\n" % number)
        return counted(offset)

    monkeypatch.setattr(log.files, "newlines_before", count_late)
    lines, gaps = [], []
    for _ in range(10):
        found, gap = stream.read(2000)
        lines += found
        gaps += [gap] if gap is not None else []
    assert [line.message for line in lines] == [f"line {line.line_number - 1}" for line in lines]
    assert (gaps[0].start, gaps[-1].end) == (1, lines[0].offset)
    stream.close()
