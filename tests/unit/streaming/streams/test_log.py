"""The streams of logs that a test writes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from api.domain.log import LogEnd
from api.domain.tasks.training import TaskStatus
from api.errors import TaskNotFound
from api.logs import feed as log_feed
from api.logs.batches import LogBatch
from api.logs.follower import LogFeeds
from api.logs.reader import LogSource
from api.logs.service import LogService
from api.logs.stream import create_log_stream, create_own_log_stream, follow_task_log, frame
from api.streaming.addresses import StreamRequest
from api.streaming.blocking_reads import BlockingReads
from api.streaming.delivery import Frames
from tests.unit.log_making import MadeLog


class Logs:
    """The log of the task `a`, and the server's own."""

    def __init__(self, log: MadeLog) -> None:
        self.log = log
        self.own = log.source

    def find(self, task_id: str) -> LogSource:
        if task_id != "a":
            raise TaskNotFound
        return self.log.source


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeLog:
    monkeypatch.setattr(log_feed, "GATHER_SECONDS", 0.001)
    monkeypatch.setattr(log_feed, "END_CHECK_SECONDS", 0.0)
    made = MadeLog(tmp_path / "log")
    made.write(b"one\ntwo\n")
    return made


@asynccontextmanager
async def made(log: MadeLog) -> AsyncIterator[tuple[LogService, LogFeeds, BlockingReads]]:
    feeds, reads = LogFeeds(), BlockingReads()
    try:
        yield cast(LogService, Logs(log)), feeds, reads
    finally:
        feeds.stop()
        reads.stop()


async def read(frames: Frames) -> list[tuple[str, str | None]]:
    return [(each.type.value, each.id) async for some in frames for each in some]


def play(scene: Any) -> Any:
    return asyncio.run(asyncio.wait_for(scene, 10))


def test_log_is_sent_to_its_end_with_the_next_offset(log: MadeLog):
    log.ended = LogEnd(TaskStatus.COMPLETED, None, 0)

    async def scene() -> None:
        async with made(log) as (logs, feeds, reads):
            opener = create_log_stream(logs, feeds, reads)
            async with opener(StreamRequest({"task_id": "a"}, "", None)) as frames:
                assert (await read(frames))[-2:] == [("log", "8"), ("end", "8")]
            async with opener(StreamRequest({"task_id": "a"}, "", "4")) as frames:
                assert await read(frames) == [("log", "8"), ("end", "8")]
            with pytest.raises(TaskNotFound):
                async with opener(StreamRequest({"task_id": "nobody"}, "", None)):
                    pass

    play(scene())


def test_servers_own_log_is_followed_until_the_server_ends(log: MadeLog):
    async def scene() -> None:
        opened = StreamRequest({}, "tail=1", None)
        async with made(log) as (logs, feeds, _), create_own_log_stream(logs, feeds)(opened) as frames:
            (first,) = await anext(frames)
            assert b'"two"' in first.json
            feeds.close()
            assert await read(frames) == [("closing", None)]

    play(scene())


def test_log_is_a_part_of_its_tasks_stream(log: MadeLog):
    log.ended = LogEnd(TaskStatus.COMPLETED, None, 0)

    async def scene() -> None:
        async with made(log) as (logs, feeds, reads):
            follow = follow_task_log(logs, feeds, reads)
            pieces = [(piece.kind, piece.next_offset) async for piece in follow("a", 0)]
            assert pieces[-2:] == [("log", 8), ("end", 8)]

    play(scene())


def test_unfinished_line_has_no_id():
    assert frame(LogBatch("partial", 5, 5, b"{}")).id is None
    assert frame(LogBatch("dropped", 0, 5, b"{}")).id == "5"
