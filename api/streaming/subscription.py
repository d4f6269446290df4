"""The bounded queue of one subscriber. No publisher waits for it."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator

from api.domain.access.read_scope import WHOLE, ReadScope
from api.streaming.frames import Frame
from api.streaming.models import Message, StreamEnding, Topic

#: Maximum number of queued messages. A subscriber that is further behind is dropped.
QUEUE_MESSAGES = 256

#: Bytes of messages that are sent together, so that a slow subscriber's whole queue is not copied at once.
TOGETHER_BYTES = 64 * 1024


class TooSlow(Exception):
    """The subscriber does not read."""


class Published:
    """A message, its number in this process, and its frames, which subscribers with the same content share.

    Frames are created only in the event loop.
    """

    __slots__ = ("_boot", "_frames", "_snapshot_frames", "message", "number")

    def __init__(self, number: int, message: Message, boot: str) -> None:
        self.number = number
        self.message = message
        self._boot = boot
        self._frames: dict[ReadScope, Frame] = {}
        self._snapshot_frames: dict[tuple[ReadScope, str | None], Frame] = {}

    def frame(self, scope: ReadScope = WHOLE) -> Frame:
        """Return the frame for readers with this scope."""
        found = self._frames.get(scope)
        if found is None:
            found = Frame(self.message.type, self.message.shown_to(scope), f"{self._boot}-{self.number}")
            self._frames[scope] = found
        return found

    def snapshot_frame(self, scope: ReadScope = WHOLE, node: str | None = None) -> Frame:
        """Return the frame with the snapshot's own number as id, for subscribers that receive only snapshots.

        With `node`, only about this machine. Raises NodeNotFound.
        """
        found = self._snapshot_frames.get((scope, node))
        if found is None:
            json, id_ = self.message.shown_to(scope, node), str(self.message.position or 0)
            found = self._snapshot_frames[scope, node] = Frame(self.message.type, json, id_, shows_id=False)
        return found


class Subscription:
    """The queued messages of one subscriber. It ends with the broker, or if the subscriber is too far behind."""

    def __init__(
        self, capacity: int = QUEUE_MESSAGES, *, keeps_latest_snapshot: bool = False, scope: ReadScope = WHOLE
    ) -> None:
        """Create the queue. With `keeps_latest_snapshot`, a new snapshot replaces a queued one."""
        self.scope = scope  #: messages outside of it are not queued
        self._queue: deque[Published] = deque()
        self._capacity = capacity
        self._keeps_latest = keeps_latest_snapshot
        self.changed = asyncio.Event()  #: set when there may be something to take
        self.ending: StreamEnding | None = None  #: why the subscription has ended; None if it has not

    def put(self, published: Published) -> bool:
        """Add a message. Return False if the subscriber is too far behind."""
        if self._keeps_latest and published.message.topic is Topic.GPU:
            self._remove_snapshot()
        if len(self._queue) >= self._capacity:
            return False
        self._queue.append(published)
        self.changed.set()
        return True

    def _remove_snapshot(self) -> None:
        for waiting in self._queue:
            if waiting.message.topic is Topic.GPU:
                # At most one is queued.
                self._queue.remove(waiting)
                return

    def end(self) -> None:
        """End the subscription after the queued messages."""
        self._end(StreamEnding.SERVER_ENDING)

    def drop(self) -> Counter[Topic]:
        """End the subscription immediately. Return the numbers of discarded messages by topic."""
        lost = Counter(published.message.topic for published in self._queue)
        self._queue.clear()
        self._end(StreamEnding.TOO_SLOW)
        return lost

    def _end(self, reason: StreamEnding) -> None:
        self.ending = self.ending or reason
        self.changed.set()

    def take(self) -> list[Published]:
        """Return queued messages, as many as should be sent together; empty if there are none."""
        taken: list[Published] = []
        size = 0
        while self._queue and size < TOGETHER_BYTES:
            taken.append(self._queue.popleft())
            size += len(taken[-1].message.json)
        return taken

    async def after(self, number: int) -> AsyncGenerator[list[Published], None]:
        """Yield the messages with a number above `number` as they arrive, in lists of all that are ready."""
        while True:
            self.changed.clear()
            taken = self.take()
            if taken:
                yield [published for published in taken if published.number > number]
            elif self.ending is not None:
                return
            else:
                await self.changed.wait()
