"""Follow one log: a feed reads new lines and encodes them once for all followers of this log.

A follower has no queue, only a position in the log. If the feed has a batch that starts there, the follower takes it;
if not, the follower reads the file itself until it catches up. So no line is lost or repeated, and a slow follower
delays no other.
"""

import asyncio
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from api.domain.log import LogEnd
from api.errors import DatabaseUnavailable
from api.logs.batches import LogBatch, batches_of, dropped_of, end_of, partial_of
from api.logs.lines import LineStream
from api.logs.reader import LogReader, LogSource
from api.logs.watcher import LogWatcher

logger = logging.getLogger(__name__)

#: Number of bytes that are read at a time.
READ_BYTES = 256 * 1024

#: Bytes of recent batches that a feed stores. A follower that is further behind reads the file.
RING_BYTES = 2**20

GATHER_SECONDS = 0.05  #: between two reads of a growing log; a line waits at most this long for its batch
PARTIAL_SECONDS = 0.5  #: between two messages about an unfinished line
UNFINISHED_SECONDS = 0.2  #: after which an unfinished line is sent, since many lines are written in two parts
#: Seconds after which a log without changes, and the state of its task, is checked. Logs that other machines write are
#: always polled this way.
QUIET_SECONDS = 1.0
END_CHECK_SECONDS = 0.5  #: between two checks whether the task has ended
UNWATCHED_SECONDS = 0.2  #: the same for a log that cannot be watched, because it does not exist yet

T = TypeVar("T")


class LogFeed:
    """Reads new lines of one log while it has followers. Everything except work in `threads` runs in the event loop."""

    def __init__(self, log: LogSource, watcher: LogWatcher, threads: Executor) -> None:
        self.log = log
        self.position: int | None = None  #: the offset up to which it has read; None before the start
        self.partial: LogBatch | None = None
        self.end: LogBatch | None = None
        self.is_closed = False
        self.followers = 0
        self._watcher = watcher
        self._threads = threads
        self._ring: deque[LogBatch] = deque()
        self._ring_bytes = 0
        self._by_start: dict[int, LogBatch] = {}
        self._working: Future[Any] = Future()
        self._changed = asyncio.Event()
        self._woken = asyncio.Event()
        self._is_watched = False
        self._can_be_watched = True
        self._partial_at = float("-inf")
        self._partial_end = -1
        self._line_start, self._line_since = -1, float("-inf")
        self._checked_at = float("-inf")

    # -- for followers ---------------------------------------------------------------------------------------------

    @property
    def changed(self) -> asyncio.Event:
        """An event that is set at the next change. Get it before checking, so that no change is missed."""
        return self._changed

    def batch_at(self, offset: int) -> LogBatch | None:
        """Return the stored batch that starts at this offset, or None."""
        return self._by_start.get(offset)

    def next_start(self, offset: int) -> int | None:
        """Return the offset up to which a follower must read the file itself; None if it must wait."""
        if self.position is None or offset >= self.position:
            return None
        starts = [batch.start for batch in self._ring]
        index = bisect_right(starts, offset)
        return starts[index] if index < len(starts) else self.position

    # -- reading ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read until the task has ended or the feed is cancelled."""
        stream = await self._in_thread(self._open)
        self.position = stream.offset
        self._notify()
        try:
            while self.end is None:
                await self._step(stream)
        finally:
            self._watcher.unwatch(self.log.content.directory, self._woken.set)
            # A thread may still be reading.
            self._working.add_done_callback(lambda _: stream.close())

    def _open(self) -> LineStream:
        content = self.log.content
        self._can_be_watched = self._watcher.reports_all_changes(content.directory)
        begin = LogReader(content, self.log.create_classifier, is_finished=False).find_tail(content.end(), 1)
        return LineStream(content, begin, self.log.create_classifier)

    async def _step(self, stream: LineStream) -> None:
        """Read new lines, or wait for them."""
        self._woken.clear()
        if self._can_be_watched and not self._is_watched:
            self._is_watched = self._watcher.watch(self.log.content.directory, self._woken.set)
        if await self._read(stream):
            await asyncio.sleep(GATHER_SECONDS)
            return
        ended = await self._look_up_end()
        if ended is None:
            await self._wait(stream)
        else:
            await self._finish(stream, ended)

    async def _read(self, stream: LineStream) -> bool:
        """Read once. Return whether there was anything new."""
        before = stream.read_to
        self._publish(await self._in_thread(lambda: self._read_batches(stream)), stream.offset)
        await self._show_partial(stream)
        return stream.read_to != before

    def _read_batches(self, stream: LineStream) -> list[LogBatch]:
        lines, gap = stream.read(READ_BYTES)
        found = [] if gap is None else [dropped_of(self.log.task_id, gap)]
        return [*found, *batches_of(self.log.task_id, lines, stream.offset)]

    def _publish(self, batches: list[LogBatch], position: int) -> None:
        if not batches:
            return
        for batch in batches:
            self._ring.append(batch)
            self._by_start[batch.start] = batch
            self._ring_bytes += len(batch.json)
        while self._ring_bytes > RING_BYTES and len(self._ring) > 1:
            oldest = self._ring.popleft()
            del self._by_start[oldest.start]
            self._ring_bytes -= len(oldest.json)
        self.position = position
        self.partial = None
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _show_partial(self, stream: LineStream) -> None:
        now = monotonic()
        if stream.offset != self._line_start:
            self._line_start, self._line_since = stream.offset, now
        if stream.read_to == self._partial_end or now < self._partial_due():
            return
        line = await self._in_thread(stream.partial)
        self._partial_end = stream.read_to
        if line is not None:
            self._partial_at = now
            self.partial = partial_of(self.log.task_id, line)
            self._notify()

    def _partial_due(self) -> float:
        """Return the time from which on the unfinished line may be sent."""
        return max(self._line_since + UNFINISHED_SECONDS, self._partial_at + PARTIAL_SECONDS)

    async def _look_up_end(self) -> LogEnd | None:
        """Return how the task has ended; None if it has not, or if the last check is recent."""
        now = monotonic()
        if now - self._checked_at < END_CHECK_SECONDS:
            return None
        self._checked_at = now
        try:
            return await self._in_thread(self.log.look_up_end)
        except DatabaseUnavailable as error:
            logger.warning("the state of a followed task cannot be read", extra={"problem": str(error)})
            return None

    async def _wait(self, stream: LineStream) -> None:
        seconds = UNWATCHED_SECONDS if self._can_be_watched and not self._is_watched else QUIET_SECONDS
        if stream.read_to not in (stream.offset, self._partial_end):
            seconds = max(0.01, min(seconds, self._partial_due() - monotonic()))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _finish(self, stream: LineStream, ended: LogEnd) -> None:
        """Deliver the rest and the end. The task has ended, so nothing more is written."""
        while await self._read(stream):
            continue
        rest = await self._in_thread(stream.end)
        self._publish(list(batches_of(self.log.task_id, rest, stream.offset)), stream.offset)
        self.end = end_of(self.log.task_id, ended, stream.offset)
        self._notify()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        working = self._threads.submit(work)
        self._working = working
        return await asyncio.wrap_future(working)

    def close(self) -> None:
        """End the followers without an end message."""
        self.is_closed = True
        self._notify()
