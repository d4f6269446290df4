"""Pages of a log with any content and any segments."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.log import LineFilter, LogLevel
from tests.unit.log_making import MadeLog, timed_log


@pytest.fixture
def log(tmp_path: Path) -> MadeLog:
    return MadeLog(tmp_path / "log", segment_bytes=4096)


def messages(page) -> list[str]:
    return [line.message for line in page.logs]


def numbered(count: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(count))


@pytest.mark.parametrize("count", [0, 1, 7, 999, 1000, 5000])
@pytest.mark.parametrize("rest", [b"", b"rest"])
def test_tail_is_the_last_lines(log: MadeLog, count: int, rest: bytes):
    log.write(numbered(1000) + rest)
    page = log.reader(is_finished=True).tail(count)
    expected = [f"line {number}" for number in range(1000)] + ([rest.decode()] if rest else [])
    assert messages(page) == expected[len(expected) - min(count, len(expected)) :]
    assert (page.has_more, page.next_offset) == (False, log.files.end())


def test_tail_of_matching_lines_reads_back_to_its_limit(log: MadeLog):
    log.write(b"ValueError: old\n" + numbered(20_000) + b"ValueError: new\n")
    errors = LineFilter(level=LogLevel.ERROR)
    assert messages(log.reader().tail(1, line_filter=errors)) == ["ValueError: new"]
    assert messages(log.reader().tail(5, limit_bytes=1000, line_filter=errors)) == ["ValueError: new"]


def test_page_has_at_least_one_line_and_ends_at_the_limit(log: MadeLog):
    log.write(b"x" * 5000 + b"\n" + b"short\n" * 10)
    page = log.reader().read_from(0, 1)
    assert ([len(message) for message in messages(page)], page.next_offset, page.has_more) == ([5000], 5001, True)
    assert messages(log.reader().read_from(5001, 13)) == ["short"] * 3


def test_number_of_lines_on_a_page_is_limited(log: MadeLog):
    log.write(b"\n" * 100)
    page = log.reader().read_from(0, 2**20, max_lines=30)
    assert (len(page.logs), page.next_offset, page.has_more) == (30, 30, True)


def test_offset_within_a_line_returns_its_rest_as_cut(log: MadeLog):
    log.write(b"one line\nanother\n")
    first, second = log.reader().read_from(4, 1000).logs
    assert (first.message, first.truncated, first.line_number) == ("line", True, 1)
    assert (second.message, second.truncated, second.line_number) == ("another", False, 2)


@pytest.mark.parametrize("offset", [17, 18, 10**15])
def test_offset_at_or_after_the_end_is_the_end(log: MadeLog, offset: int):
    log.write(b"one line\nanother\n")
    page = log.reader().read_from(offset, 1000)
    assert (page.logs, page.next_offset, page.has_more) == ((), 17, False)


def test_since_starts_with_the_first_line_of_that_time(tmp_path: Path):
    reader = timed_log(tmp_path / "log", 100).reader()
    assert messages(reader.since(1050.0, 2**20))[0] == "50"
    assert messages(reader.since(1050.5, 2**20))[0] == "51"
    assert messages(reader.since(0.0, 2**20))[0] == "0"
    assert messages(reader.since(2000.0, 2**20)) == []
    assert reader.since(1050.0, 2**20).logs[0].timestamp == "1970-01-01T00:17:30.000Z"
    assert messages(reader.tail(3, since=1050.0)) == ["97", "98", "99"]
    assert messages(reader.tail(3, since=1098.0)) == ["98", "99"]
    assert messages(reader.tail(3, since=1098.0, line_filter=LineFilter(level=LogLevel.INFO))) == ["98", "99"]
    assert messages(reader.tail(3, since=2000.0)) == []


@given(
    parts=st.lists(st.sampled_from([b"\n", b"a", b"\r", b"\xff", b"x" * 30]), max_size=60),
    segment=st.integers(16, 100),
    limit=st.integers(1, 100),
    is_finished=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_pages_contain_every_line_once_with_its_number(tmp_path_factory, parts, segment, limit, is_finished):
    content = b"".join(parts)
    log = MadeLog(tmp_path_factory.mktemp("log"), segment_bytes=segment)
    for part in parts:
        log.write(part)
    reader = log.reader(is_finished)
    lines, offset, has_more = [], 0, True
    while has_more:
        page = reader.read_from(offset, limit)
        lines += page.logs
        assert page.next_offset > offset or not page.has_more
        offset, has_more = page.next_offset, page.has_more
    pieces = content.split(b"\n")
    rest = pieces.pop()
    # An unfinished line is returned if there is space for it, and is not counted yet.
    lines = [line for line in lines if line.is_complete]
    assert [line.line_number for line in lines] == list(range(1, len(pieces) + bool(rest and is_finished) + 1))
    offsets = [0]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece) + 1)
    assert [line.offset for line in lines] == offsets[: len(lines)]
    assert page.total_lines == len(pieces) + bool(rest)
    assert offset == (len(content) if is_finished else offsets[-1])
