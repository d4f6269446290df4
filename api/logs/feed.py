"""Following a log: one feed reads what is new and frames it once, for everybody who follows this log.

A follower has no queue. It is at a place in the log: where the feed keeps a batch that begins there, it takes that;
where not, it reads the file itself until it has come so far. So nothing is lost or doubled, and who is slow slows
nobody else.
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
from api.logs.reader import LogReader
from api.logs.source import LogSource
from api.logs.watcher import LogWatcher

logger = logging.getLogger(__name__)

#: Bytes that are read at a time.
READ_BYTES = 256 * 1024

#: Bytes of the latest batches that a feed keeps; a follower who is further behind reads the file.
RING_BYTES = 2**20

GATHER_SECONDS = 0.05  #: between two reads of a log that grows: at most so long a line waits for its batch
PARTIAL_SECONDS = 0.5  #: between two looks of an unfinished line
UNFINISHED_SECONDS = 0.2  #: after which a line is shown unfinished: many are written in two parts
#: After which a log without news is looked at all the same, and whether its task has ended; so is each log that other
#: machines write.
QUIET_SECONDS = 1.0
ASK_SECONDS = 0.5  #: between two questions whether the task has ended
UNWATCHED_SECONDS = 0.2  #: the same of a log that cannot be watched, because it has not begun

T = TypeVar("T")


class LogFeed:
    """Reads one log onward while somebody follows it. All but what runs in `threads` happens in the event loop."""

    def __init__(self, log: LogSource, watcher: LogWatcher, threads: Executor) -> None:
        self.log = log
        self.position: int | None = None  #: the offset up to which it has read; None until it has begun
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
        self._news = asyncio.Event()
        self._woken = asyncio.Event()
        self._is_watched = False
        self._can_be_watched = True
        self._partial_at = float("-inf")
        self._partial_end = -1
        self._line_start, self._line_since = -1, float("-inf")
        self._asked_at = float("-inf")

    # -- for followers ---------------------------------------------------------------------------------------------

    @property
    def news(self) -> asyncio.Event:
        """An event that is set at the next change. Who takes it before looking misses nothing."""
        return self._news

    def batch_at(self, offset: int) -> LogBatch | None:
        """The batch that begins at this offset, if it is kept."""
        return self._by_start.get(offset)

    def next_start(self, offset: int) -> int | None:
        """The offset up to which a follower at this offset must read by itself; None when it must wait."""
        if self.position is None or offset >= self.position:
            return None
        starts = [batch.start for batch in self._ring]
        place = bisect_right(starts, offset)
        return starts[place] if place < len(starts) else self.position

    # -- reading ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reads until the task has ended, or the feed is cancelled."""
        stream = await self._in_thread(self._open)
        self.position = stream.offset
        self._tell()
        try:
            while self.end is None:
                await self._look(stream)
        finally:
            self._watcher.unwatch(self.log.content.directory, self._woken.set)
            # A thread may still be reading.
            self._working.add_done_callback(lambda _: stream.close())

    def _open(self) -> LineStream:
        content = self.log.content
        self._can_be_watched = self._watcher.hears_all(content.directory)
        begin = LogReader(content, self.log.create_classifier, is_finished=False).find_tail(content.end(), 1)
        return LineStream(content, begin, self.log.create_classifier)

    async def _look(self, stream: LineStream) -> None:
        """Reads what is new; waits where there is nothing new."""
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
        """Reads once; returns whether there was anything new."""
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
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

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
            self._tell()

    def _partial_due(self) -> float:
        """The time from which the unfinished line may be shown."""
        return max(self._line_since + UNFINISHED_SECONDS, self._partial_at + PARTIAL_SECONDS)

    async def _look_up_end(self) -> LogEnd | None:
        """How the task has ended; asked only now and then, None between."""
        now = monotonic()
        if now - self._asked_at < ASK_SECONDS:
            return None
        self._asked_at = now
        try:
            return await self._in_thread(self.log.look_up_end)
        except DatabaseUnavailable as error:
            logger.warning("whether a followed task has ended cannot be told", extra={"problem": str(error)})
            return None

    async def _wait(self, stream: LineStream) -> None:
        seconds = UNWATCHED_SECONDS if self._can_be_watched and not self._is_watched else QUIET_SECONDS
        if stream.read_to not in (stream.offset, self._partial_end):
            seconds = max(0.01, min(seconds, self._partial_due() - monotonic()))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _finish(self, stream: LineStream, ended: LogEnd) -> None:
        """Delivers the rest and the end: nobody writes any more, so that this is everything."""
        while await self._read(stream):
            continue
        rest = await self._in_thread(stream.end)
        self._publish(list(batches_of(self.log.task_id, rest, stream.offset)), stream.offset)
        self.end = end_of(self.log.task_id, ended, stream.offset)
        self._tell()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        working = self._threads.submit(work)
        self._working = working
        return await asyncio.wrap_future(working)

    def close(self) -> None:
        """Ends its followers, without telling them an end of the log."""
        self.is_closed = True
        self._tell()
