"""Following: every follower sees each line once, in order, wherever it starts."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.log import LineFilter, LogLevel
from api.logs import feed as log_feed
from api.logs import lines as line_stream
from api.logs.follower import LogFeeds, Tail
from tests.unit.log_making import COMPLETED, MadeLog, follow_to_the_end, messages, take, with_feeds

pytestmark = pytest.mark.usefixtures("quick")


def test_existing_and_new_lines_are_seen_once_and_then_the_end(log: MadeLog):
    log.write(b"one\ntwo\n")

    async def go(feeds: LogFeeds) -> Any:
        async with feeds.follow(log.source, 0) as follower:
            seen = [await take(follower)]
            log.write(b"three\n")
            seen.append(await take(follower))
            log.ended = COMPLETED
            log.write(b"rest")
            return seen + [batch async for batch in follower]

    batches = with_feeds(go)
    assert messages(batches) == ["one", "two", "three", "rest"]
    assert batches[-1].kind == "end"
    assert orjson.loads(batches[-1].json)["data"] == {
        "task_id": "task",
        "status": "completed",
        "failure": None,
        "exit_code": 0,
        "next_offset": 18,
    }


@given(
    content=st.lists(st.sampled_from([b"\n", b"a", b"\r", b"\xff", b"\x1b[0m", "é".encode(), b"x" * 40]), max_size=120),
    cuts=st.lists(st.integers(1, 30), max_size=20),
    segment=st.integers(16, 200),
    start=st.integers(0, 400),
)
@settings(max_examples=60, deadline=None)
def test_following_and_paging_yield_each_line_once(content, cuts, segment, start):
    written = b"".join(content)
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patched:
        patched.setattr(line_stream, "LINE_BYTES", 64)
        patched.setattr("api.logs.reader.LINE_BYTES", 64)
        log = MadeLog(Path(directory) / "log", segment_bytes=segment)

        async def go(feeds: LogFeeds) -> Any:
            following = [asyncio.create_task(follow_to_the_end(feeds, log, at)) for at in (0, min(start, len(written)))]
            rest = written
            for size in cuts:
                log.write(rest[:size])
                rest = rest[size:]
                await asyncio.sleep(0)
            log.write(rest)
            log.ended = COMPLETED
            return [await each for each in following]

        for batches, begin in zip(with_feeds(go), (0, min(start, len(written))), strict=True):
            covered = [batch for batch in batches if batch.kind != "partial"]
            assert [batch.kind for batch in covered[:-1]] == ["log"] * (len(covered) - 1)
            position = begin
            for batch in covered:
                assert batch.start == position
                position = batch.next_offset
            assert position == len(written)
        paged, offset = [], 0
        while True:
            page = log.reader(is_finished=True).read_from(offset, 50)
            paged += page.logs
            offset = page.next_offset
            if not page.has_more:
                break
        again = with_feeds(lambda feeds: follow_to_the_end(feeds, log, 0))
        followed = [line for batch in again if batch.kind == "log" for line in batch.lines]
        assert [line.offset for line in paged] == [line.offset for line in followed]
        assert [line.message for line in paged] == [line.message for line in followed]
        assert offset == len(written)


def test_follower_that_is_far_behind_reads_the_file_until_it_catches_up(log: MadeLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_feed, "RING_BYTES", 4096)
    monkeypatch.setattr(log_feed, "READ_BYTES", 1000)

    async def go(feeds: LogFeeds) -> Any:
        async with feeds.follow(log.source, 0) as slow, feeds.follow(log.source, 0) as quick:
            log.write(b"0\n")
            assert messages([await take(slow)]) == ["0"]
            fast = []
            for number in range(1, 2000):
                log.write(b"%d\n" % number)
            while len(fast) < 2000:
                fast += messages([await take(quick)])
            log.ended = COMPLETED
            return fast, [batch async for batch in slow]

    fast, late = with_feeds(go)
    assert fast == [str(number) for number in range(2000)]
    assert messages(late) == [str(number) for number in range(1, 2000)]


def test_dropped_part_is_reported(tmp_path: Path):
    log = MadeLog(tmp_path / "log", max_bytes=4000, segment_bytes=1000)
    for number in range(1000):
        log.write(b"line %d\n" % number)
    log.ended = COMPLETED
    first, *rest = with_feeds(lambda feeds: follow_to_the_end(feeds, log, 0))
    assert first.kind == "dropped"
    data = orjson.loads(first.json)["data"]
    assert (data["from"], data["to"], data["bytes"]) == (0, log.files.first(), log.files.first())
    assert messages(rest)[0] == f"line {data['lines']}"
    assert len(messages(rest)) + data["lines"] == 1000


def test_tail_starts_some_lines_before_the_end(log: MadeLog):
    log.write(b"".join(b"%d\n" % number for number in range(50)))
    log.ended = COMPLETED
    assert messages(with_feeds(lambda feeds: follow_to_the_end(feeds, log, Tail(3)))) == ["47", "48", "49"]


def test_only_matching_lines_are_sent(log: MadeLog):
    log.write(b"fine\nValueError: no\nfine\n")
    log.ended = COMPLETED
    line_filter = LineFilter(level=LogLevel.ERROR)
    batches = with_feeds(lambda feeds: follow_to_the_end(feeds, log, 0, line_filter))
    assert messages(batches) == ["ValueError: no"]
    # Up to the offset at which the feed started: the last line.
    assert orjson.loads(batches[0].json)["data"]["next_offset"] == 20


def test_log_that_starts_later_is_followed(tmp_path: Path):
    log = MadeLog(tmp_path / "made")
    later = tmp_path / "later" / "log"

    async def go(feeds: LogFeeds) -> Any:
        log.files.directory = later
        async with feeds.follow(log.source, Tail(10)) as follower:
            waiting = asyncio.ensure_future(take(follower))
            await asyncio.sleep(0.05)
            other = MadeLog(later)
            other.write(b"first\n")
            return await waiting

    assert messages([with_feeds(go)]) == ["first"]


def test_cancelled_call_loses_nothing(log: MadeLog):
    async def go(feeds: LogFeeds) -> Any:
        async with feeds.follow(log.source, 0) as follower:
            seen: list[Any] = []
            for number in range(200):
                log.write(b"%d\n" % number)
                try:
                    seen.append(await asyncio.wait_for(anext(follower), 0.0005))
                except TimeoutError:
                    continue
            log.ended = COMPLETED
            return seen + [batch async for batch in follower]

    assert messages(with_feeds(go)) == [str(number) for number in range(200)]


def test_log_of_a_resumed_task_is_followed(log: MadeLog):
    log.write(b"one\n")
    log.ended = COMPLETED

    async def go(feeds: LogFeeds) -> Any:
        first = await follow_to_the_end(feeds, log, 0)
        log.ended = None
        async with feeds.follow(log.source, first[-1].next_offset) as follower:
            log.write(b"two\n")
            return await take(follower)

    assert messages([with_feeds(go)]) == ["two"]


@given(
    lines=st.lists(st.integers(0, 60), min_size=1, max_size=200),
    size=st.integers(200, 2000),
    start=st.integers(0, 3000),
)
@settings(max_examples=60, deadline=None)
def test_seen_and_dropped_parts_cover_everything(lines, size, start):
    written = b"".join(b"%d " % number + b"x" * size + b"\n" for number, size in enumerate(lines))
    start = min(start, len(written))
    with tempfile.TemporaryDirectory() as directory:
        log = MadeLog(Path(directory) / "log", max_bytes=size, segment_bytes=size // 4)

        async def go(feeds: LogFeeds) -> Any:
            following = asyncio.create_task(follow_to_the_end(feeds, log, start))
            for line in written.splitlines(keepends=True):
                log.write(line)
                await asyncio.sleep(0)
            log.ended = COMPLETED
            return await following

        batches = [batch for batch in with_feeds(go) if batch.kind != "partial"]
    position = start
    for batch in batches:
        assert batch.start == position
        position = batch.next_offset
        for line in batch.lines:
            assert line.message == written[line.offset :].partition(b"\n")[0].decode()
            assert line.line_number == written[: line.offset].count(b"\n") + 1
    assert position == len(written)


def test_followers_end_with_the_server(log: MadeLog):
    async def go(feeds: LogFeeds) -> Any:
        async with feeds.follow(log.source, 0) as follower:
            feeds.close_soon()
            with pytest.raises(StopAsyncIteration):
                await take(follower)
            return follower.was_cut_off

    assert with_feeds(go)
