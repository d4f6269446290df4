"""A feed: it polls, shows unfinished lines, and finds the end of its log."""

import asyncio
import errno
import shutil
from dataclasses import replace
from typing import Any

import orjson
import pytest

from api.domain.log import LogEnd
from api.errors import DatabaseUnavailable
from api.logs import feed as log_feed
from api.logs.follower import LogFeeds
from api.logs.watcher import LogWatcher
from tests.unit.log_making import COMPLETED, MadeLog, messages, take, with_feeds

pytestmark = pytest.mark.usefixtures("quick")


def test_unfinished_line_is_shown_as_it_changes(log: MadeLog):
    async def go(feeds: LogFeeds) -> Any:
        async with feeds.follow(log.source, 0) as follower:
            log.write(b"10%")
            first = await take(follower)
            log.write(b"\r20%")
            second = await take(follower)
            log.write(b"\r30%\n")
            return first, second, await take(follower)

    first, second, whole = with_feeds(go)
    assert [batch.kind for batch in (first, second, whole)] == ["partial", "partial", "log"]
    assert [batch.lines[0].message for batch in (first, second, whole)] == ["10%", "20%", "30%"]
    assert (first.next_offset, whole.next_offset) == (0, 12)
    assert (first.lines[0].is_complete, whole.lines[0].is_complete) == (False, True)


def test_feed_ends_with_its_last_follower(log: MadeLog):
    async def go(feeds: LogFeeds) -> Any:
        async with feeds.follow(log.source, 0):
            async with feeds.follow(log.source, 0):
                assert (feeds.followers, len(feeds._feeds)) == (2, 1)
            assert feeds.followers == 1
        assert (feeds.followers, len(feeds._feeds), len(feeds._watcher._wakes)) == (0, 0, 0)

    with_feeds(go)


def test_log_that_cannot_be_watched_is_polled(log: MadeLog, monkeypatch: pytest.MonkeyPatch):
    def refuse() -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("api.logs.watcher.Inotify", refuse)

    async def go(feeds: LogFeeds) -> Any:
        async with feeds.follow(log.source, 0) as follower:
            await asyncio.sleep(0.01)
            log.write(b"one\n")
            return await take(follower)

    assert messages([with_feeds(go)]) == ["one"]


def test_log_that_other_machines_write_is_polled_and_never_watched(log: MadeLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_feed, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(log_feed, "UNWATCHED_SECONDS", 60.0)

    async def go(feeds: LogFeeds) -> Any:
        feeds._watcher = LogWatcher(is_shared=lambda directory: directory == log.files.directory)
        async with feeds.follow(log.source, 0) as follower:
            await asyncio.sleep(0.01)
            log.write(b"one\n")
            return await take(follower), feeds._watcher._inotify

    batch, watching = with_feeds(go)
    assert (messages([batch]), watching) == (["one"], None)


def test_unavailable_database_is_read_again(log: MadeLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_feed, "QUIET_SECONDS", 0.01)
    answers = iter([DatabaseUnavailable(), DatabaseUnavailable(), COMPLETED])

    def look_up_end() -> LogEnd:
        answer = next(answers)
        if isinstance(answer, DatabaseUnavailable):
            raise answer
        return answer

    async def go(feeds: LogFeeds) -> Any:
        async with feeds.follow(replace(log.source, look_up_end=look_up_end), 0) as follower:
            return await take(follower)

    assert with_feeds(go).kind == "end"


def test_log_with_removed_files_ends_with_its_task(log: MadeLog):
    log.write(b"one\n" * 1000)

    async def go(feeds: LogFeeds) -> Any:
        async with feeds.follow(log.source, 2000) as late, feeds.follow(log.source, 4000) as follower:
            await asyncio.sleep(0.05)
            shutil.rmtree(log.files.directory)
            log.ended = LogEnd(None)
            return [await take(follower)], [batch async for batch in late]

    [end], batches = with_feeds(go)
    assert (end.kind, orjson.loads(end.json)["data"]["status"]) == ("end", None)
    assert [batch.kind for batch in batches][-1] == "end"
