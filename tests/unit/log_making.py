"""Creates logs on disk in the format of supervisors, and follows them."""

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from api.domain.log import EVERYTHING, LineFilter, LogEnd
from api.domain.tasks.training import TaskStatus
from api.executors.attempt.log import LogWriter
from api.executors.log_files import LogFiles
from api.logs.batches import LogBatch
from api.logs.follower import Follower, LogFeeds, Tail
from api.logs.reader import LogReader, LogSource
from api.trainers.protocol.log_lines import LineClassifier

SECONDS = 20.0

COMPLETED = LogEnd(TaskStatus.COMPLETED, None, 0)


class MadeLog:
    """A log that a test writes."""

    def __init__(self, directory: Path, max_bytes: int = 2**40, segment_bytes: int = 2**24) -> None:
        self.files = LogFiles(directory)
        self.ended: LogEnd | None = None
        self.writer = LogWriter(str(directory), max_bytes, segment_bytes)
        self.writer.open()
        weakref.finalize(self, self.writer.close)

    def write(self, content: bytes) -> None:
        self.writer.write(content)

    def reader(self, is_finished: bool = False) -> LogReader:
        return LogReader(self.files, LineClassifier, is_finished)

    def content(self) -> bytes:
        return self.files.read(0, 2**40)[1]

    @property
    def source(self) -> LogSource:
        return LogSource(str(self.files.directory), "task", self.files, LineClassifier, lambda: self.ended)


async def take(follower: Follower) -> LogBatch:
    return await asyncio.wait_for(anext(follower), SECONDS)


async def follow_to_the_end(feeds: LogFeeds, log: MadeLog, start: int | Tail, wanted: LineFilter = EVERYTHING):
    """Return every batch until the end."""
    async with feeds.follow(log.source, start, wanted) as follower:
        return [batch async for batch in follower]


def timed_log(directory: Path, lines: int) -> MadeLog:
    """Return a log whose line `n` contains n and was printed at 1,000 + n seconds."""
    now = 1000.0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("api.executors.attempt.log.time.time", lambda: now)
        patched.setattr("api.executors.attempt.log.time.monotonic", lambda: now)
        log = MadeLog(directory)
        for number in range(lines):
            now = 1000.0 + number
            log.write(b"%d\n" % number)
    return log


def with_feeds(work: Callable[[LogFeeds], Coroutine[Any, Any, Any]]) -> Any:
    async def go() -> Any:
        feeds = LogFeeds()
        try:
            return await asyncio.wait_for(work(feeds), 60)
        finally:
            feeds.stop()

    return asyncio.run(go())


def messages(batches: list[Any]) -> list[str]:
    return [line.message for batch in batches if batch.kind == "log" for line in batch.lines]
