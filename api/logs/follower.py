"""The followers of logs, each with its own position, and the feeds that they share."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from api.domain.log import EVERYTHING, Gap, LineFilter
from api.logs.batches import LogBatch, batches_of, dropped_of
from api.logs.feed import LogFeed
from api.logs.lines import LineStream
from api.logs.reader import LogReader, LogSource
from api.logs.watcher import LogWatcher

logger = logging.getLogger(__name__)

#: Numbers of threads for the feeds, and for followers that are behind. The latter may be many and must not delay
#: others.
FEED_THREADS = 2
FOLLOWER_THREADS = 2

#: Bytes that a follower reads at a time when it is behind. As objects and JSON they take many times as much memory.
READ_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """A start position before the end of the log, in lines."""

    lines: int


class Follower:
    """An asynchronous iterator of batches. A cancelled call can be repeated without losing a batch."""

    def __init__(self, feed: LogFeed, position: int, line_filter: LineFilter, threads: Executor) -> None:
        self.position = position  #: the offset at which it continues
        self._feed = feed
        self._line_filter = line_filter
        self._threads = threads
        self._own: deque[LogBatch] = deque()  #: batches that it has read from the file itself
        self._stream: LineStream | None = None
        self._pending: asyncio.Future[list[LogBatch]] | None = None
        self._partial: LogBatch | None = None
        self._is_over = False

    @property
    def was_cut_off(self) -> bool:
        """Whether it ended before the log did, because the server stops."""
        return self._feed.is_closed

    def __aiter__(self) -> "Follower":
        return self

    async def __anext__(self) -> LogBatch:
        while True:
            changed = self._feed.changed
            batch = await self._next()
            if batch is None:
                await changed.wait()
                continue
            self.position = batch.next_offset
            shown = batch.select(self._feed.log.task_id, self._line_filter)
            if shown is not None:
                return shown

    async def _next(self) -> LogBatch | None:
        """Return the next batch, before filtering; None if there is none yet."""
        feed = self._feed
        if self._is_over or feed.is_closed:
            raise StopAsyncIteration
        if self._own:
            return self._own.popleft()
        batch = feed.batch_at(self.position)
        if batch is not None:
            self._close_stream()
            return batch
        target = feed.next_start(self.position)
        if target is not None:
            self._own.extend(await self._read_file(target))
            return self._own.popleft()
        if feed.end is not None:
            self._is_over = True
            return feed.end
        if feed.partial is not self._partial and feed.partial is not None and feed.partial.start == self.position:
            self._partial = feed.partial
            return feed.partial
        return None

    async def _read_file(self, target: int) -> list[LogBatch]:
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = loop.run_in_executor(self._threads, self._read_batches, target)
        pending = self._pending
        try:
            # A cancelled call does not stop the read. The next call gets its result.
            return await asyncio.shield(pending)
        finally:
            if pending.done():
                self._pending = None

    def _read_batches(self, target: int) -> list[LogBatch]:
        """Return at least one batch towards the target."""
        log = self._feed.log
        stream = self._stream
        if stream is None or stream.offset != self.position:
            self._close_stream()
            stream = self._stream = LineStream(log.content, self.position, log.create_classifier)
        found: list[LogBatch] = []
        while not found and stream.read_to < target:
            before = stream.read_to
            lines, gap = stream.read(min(READ_BYTES, target - before))
            if gap is not None:
                found.append(dropped_of(log.task_id, gap))
            found += batches_of(log.task_id, lines, stream.offset)
            if stream.read_to == before:
                # Its files were deleted.
                return [dropped_of(log.task_id, Gap(self.position, target, None))]
        return found or list(batches_of(log.task_id, stream.end(is_part=True), stream.offset))

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        """Close the file, after any read in progress."""
        if self._pending is None:
            self._close_stream()
        else:
            self._pending.add_done_callback(lambda _: self._close_stream())


class LogFeeds:
    """The feeds of all followed logs. A feed starts with its first follower and ends with its last."""

    def __init__(self) -> None:
        self._watcher = LogWatcher()
        self._feeds: dict[str, LogFeed] = {}
        self._running: dict[LogFeed, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(FEED_THREADS, "log-feed")
        self._follower_threads = ThreadPoolExecutor(FOLLOWER_THREADS, "log-follower")
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def followers(self) -> int:
        """The number of followers."""
        return sum(feed.followers for feed in self._running)

    @asynccontextmanager
    async def follow(
        self, log: LogSource, start: int | Tail, line_filter: LineFilter = EVERYTHING
    ) -> AsyncIterator[Follower]:
        """Yield a follower that starts at this offset, or so many lines before the end."""
        self._loop = asyncio.get_running_loop()
        position = await self._find(log, start.lines) if isinstance(start, Tail) else start
        feed = self._feed(log)
        feed.followers += 1
        follower = Follower(feed, position, line_filter, self._follower_threads)
        try:
            yield follower
        finally:
            follower.close()
            feed.followers -= 1
            if feed.followers == 0:
                self._drop(feed)

    async def _find(self, log: LogSource, lines: int) -> int:
        def find() -> int:
            return LogReader(log.content, log.create_classifier, is_finished=False).find_tail(log.content.end(), lines)

        return await asyncio.get_running_loop().run_in_executor(self._follower_threads, find)

    def _feed(self, log: LogSource) -> LogFeed:
        feed = self._feeds.get(log.key)
        # An ended feed does not notice that its task was resumed.
        if feed is None or feed.end is not None or feed.is_closed:
            feed = self._feeds[log.key] = LogFeed(log, self._watcher, self._threads)
            self._running[feed] = asyncio.create_task(self._run(feed))
        return feed

    async def _run(self, feed: LogFeed) -> None:
        try:
            await feed.run()
        except OSError as error:
            logger.warning("a log cannot be followed", extra={"log": feed.log.key, "problem": str(error)})
            feed.close()
        except Exception:
            logger.exception("a log cannot be followed", extra={"log": feed.log.key})
            feed.close()

    def _drop(self, feed: LogFeed) -> None:
        self._running.pop(feed).cancel()
        if self._feeds.get(feed.log.key) is feed:
            del self._feeds[feed.log.key]

    def close_soon(self) -> None:
        """End every follower. May be called from a signal handler."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.close)

    def close(self) -> None:
        """End every follower."""
        for feed in self._running:
            feed.close()

    def stop(self) -> None:
        """Stop the threads. Call it when there are no followers."""
        for threads in (self._threads, self._follower_threads):
            threads.shutdown(wait=False, cancel_futures=True)
