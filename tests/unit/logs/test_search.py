"""Searching: every matching line is found once, within limits."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.log import LineFilter, LogLevel, StopReason
from api.logs import lines as line_stream
from api.logs import search as log_search
from api.logs.reader import LogSource
from api.logs.search import LogPattern, LogQuery, SearchRun
from api.util.clock import FakeClock
from tests.unit.log_making import MadeLog, timed_log


@pytest.fixture
def log(tmp_path: Path) -> MadeLog:
    return MadeLog(tmp_path / "log", segment_bytes=4096)


def regex(text: str, ignore_case: bool = False) -> LogPattern:
    return LogPattern(text, is_regex=True, ignore_case=ignore_case)


def keyword(text: str, ignore_case: bool = False) -> LogPattern:
    return LogPattern(text, is_regex=False, ignore_case=ignore_case)


def search(source: LogSource, pattern: LogPattern, offset: int = 0, **how) -> tuple[SearchRun, int | None]:
    run = SearchRun.begin(LogQuery(pattern, **how), FakeClock())
    return run, run.search(source, offset)


def found(log: MadeLog, pattern: LogPattern, **how) -> list[str]:
    return [hit.message for hit in search(log.source, pattern, **how)[0].hits]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (keyword("b.c"), ["b.c"]),
        (keyword("B.C", ignore_case=True), ["b.c"]),
        (regex("b.c"), ["b.c"]),
        (regex("^b"), ["b.c"]),
        (regex("c$"), ["abc abc", "b.c"]),
        (regex(r"^\s*$"), [""]),
        (regex("[^x]b"), ["abc abc"]),
        (regex(r"c\s+b"), []),
        (regex("(?s)abc.*b"), ["abc abc"]),
        (regex("ÄÖ", ignore_case=True), ["äö"]),
        (keyword("\n"), []),
    ],
)
def test_patterns_match_within_lines(log: MadeLog, pattern: LogPattern, expected: list[str]):
    log.write("abc abc\n\nb.c\näö\n".encode())
    assert found(log, pattern) == expected


def test_position_is_in_characters_of_the_message(log: MadeLog):
    log.write("äö needle\nold needle\rnew\n\x1b[31mnee\x1b[0mdle needle\n".encode())
    hits = search(log.source, keyword("needle"))[0].hits
    assert [(hit.match_start, hit.match_end, hit.matched_text) for hit in hits] == [
        (3, 9, "needle"),
        (None, None, "needle"),
        (0, 6, "needle"),
    ]


def test_context_of_neighbouring_hits_overlaps(log: MadeLog):
    log.write(b"".join(b"%d\n" % number for number in range(3000)))
    hits = search(log.source, regex("^(0|5|6|2998|2999)$"), context=2)[0].hits
    around = [([line.message for line in hit.before], [line.message for line in hit.after]) for hit in hits]
    assert around == [
        ([], ["1", "2"]),
        (["3", "4"], ["6", "7"]),
        (["4", "5"], ["7", "8"]),
        (["2996", "2997"], ["2999"]),
        (["2997", "2998"], []),
    ]


def test_unfinished_line_is_found(log: MadeLog):
    log.write(b"one\nneedle")
    assert found(log, keyword("needle")) == ["needle"]


def test_search_stops_at_its_limit_and_continues_after_the_last_hit(log: MadeLog):
    log.write(b"needle needle\nx\nneedle\n")
    run, next_offset = search(log.source, keyword("needle"), limit=1)
    assert (run.stopped, next_offset, len(run.hits)) == (StopReason.LIMIT, 14, 1)
    run, next_offset = search(log.source, keyword("needle"), next_offset)
    assert ([hit.line_number for hit in run.hits], run.stopped, next_offset) == ([3], None, None)


def test_search_stops_at_its_byte_limit(log: MadeLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_search, "MAX_BYTES", 1000)
    monkeypatch.setattr(log_search, "BLOCK", 500)
    log.write(b"x" * 99 + b"\n")
    log.write(b"x" * 99 + b"\n" * 1000)
    run, next_offset = search(log.source, keyword("needle"))
    assert run.stopped is StopReason.BYTES
    assert next_offset == run.searched_bytes < log.files.end()


def test_search_stops_at_its_time_limit(log: MadeLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_search, "BLOCK", 500)
    log.write(b"line\n" * 1000)
    clock = FakeClock()
    run = SearchRun.begin(LogQuery(keyword("needle")), clock)
    clock.advance(log_search.MAX_SECONDS + 1)
    assert run.search(log.source, 0) == run.searched_bytes <= 500
    assert run.stopped is StopReason.TIME


def test_time_limit_applies_if_every_match_is_filtered_out(log: MadeLog):
    log.write(b"line\n" * 1000)
    clock = FakeClock()
    run = SearchRun.begin(LogQuery(regex("."), line_filter=LineFilter(level=LogLevel.ERROR)), clock)
    clock.advance(log_search.MAX_SECONDS + 1)
    assert run.search(log.source, 0) == 5


def test_size_of_the_response_is_limited(log: MadeLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_search, "MAX_SHOWN", 10_000)
    log.write((b"x" * 2000 + b"\n") * 20)
    run, next_offset = search(log.source, regex("x"), limit=20)
    assert (run.stopped, len(run.hits), next_offset) == (StopReason.BYTES, 5, 5 * 2001)


def test_only_lines_of_the_given_time_are_searched(tmp_path: Path):
    log = timed_log(tmp_path / "log", 10)
    assert found(log, regex("."), begin_at=1003.0, end_at=1006.0) == ["3", "4", "5"]


def test_overlong_line_is_searched_in_its_parts(log: MadeLog, monkeypatch: pytest.MonkeyPatch):
    for module in (line_stream, log_search):
        monkeypatch.setattr(module, "LINE_BYTES", 64)
    monkeypatch.setattr(log_search, "BLOCK", 100)
    log.write(b"head\n" + b"x" * 75 + b"needle" + b"x" * 75 + b"needle" + b"x" * 300 + b"needle\nneedle\n")
    hits = search(log.source, keyword("needle"))[0].hits
    assert [(hit.line_number, hit.offset) for hit in hits] == [(2, 64), (2, 128), (2, 448), (3, 474)]


@given(
    lines=st.lists(st.text(alphabet="ab ", max_size=12), max_size=60),
    pattern=st.sampled_from(["a", "^a", "b$", "a*", "(ab)+", "^$", "a b", "."]),
    block=st.integers(20, 200),
    segment=st.integers(16, 200),
    limit=st.integers(1, 7),
)
@settings(max_examples=60, deadline=None)
def test_search_by_pages_equals_matching_each_line(tmp_path_factory, lines, pattern, block, segment, limit):
    log = MadeLog(tmp_path_factory.mktemp("log"), segment_bytes=segment)
    for line in lines:
        log.write(line.encode() + b"\n")
    numbers, offset = [], 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(log_search, "BLOCK", block)
        while offset is not None:
            run, offset = search(log.source, regex(pattern), offset, limit=limit)
            numbers += [hit.line_number for hit in run.hits]
    assert numbers == [number for number, line in enumerate(lines, start=1) if re.search(pattern, line)]


def test_hostile_pattern_takes_linear_time(log: MadeLog):
    log.write((b"a" * 5000 + b"!\n") * 200)
    assert found(log, regex("(a+)+$")) == []
