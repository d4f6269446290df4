"""One subscriber's queue: bounded, and nobody waits for it."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator

from api.domain.sight import WHOLE, Sight
from api.streaming.frames import Frame
from api.streaming.models import Message, StreamEnding, Topic

#: How many messages a subscriber may be behind; one that is further behind has stopped reading and is dropped.
QUEUE_MESSAGES = 256

#: Bytes of messages that are sent together, lest all that waits for a slow subscriber is copied at once.
TOGETHER_BYTES = 64 * 1024


class TooSlow(Exception):
    """The subscriber has stopped reading."""


class Published:
    """A message, its number in this process, and its frames, which all who get the same bytes share.

    Frames are asked for in the event loop only.
    """

    __slots__ = ("_boot", "_frames", "_snapshot_frames", "message", "number")

    def __init__(self, number: int, message: Message, boot: str) -> None:
        self.number = number
        self.message = message
        self._boot = boot
        self._frames: dict[Sight, Frame] = {}
        self._snapshot_frames: dict[tuple[Sight, str | None], Frame] = {}

    def frame(self, sight: Sight = WHOLE) -> Frame:
        """The frame for readers with this sight."""
        found = self._frames.get(sight)
        if found is None:
            found = Frame(self.message.type, self.message.shown_to(sight), f"{self._boot}-{self.number}")
            self._frames[sight] = found
        return found

    def snapshot_frame(self, sight: Sight = WHOLE, node: str | None = None) -> Frame:
        """The same with the snapshot's own number as its id, for subscribers who get only snapshots; with `node` about
        this machine alone. Raises NodeNotFound.
        """
        found = self._snapshot_frames.get((sight, node))
        if found is None:
            json, id_ = self.message.shown_to(sight, node), str(self.message.position or 0)
            found = self._snapshot_frames[sight, node] = Frame(self.message.type, json, id_, shows_id=False)
        return found


class Subscription:
    """The messages that wait for one subscriber. It ends with the broker, or when the subscriber is too far behind."""

    def __init__(
        self, capacity: int = QUEUE_MESSAGES, *, keeps_latest_snapshot: bool = False, sight: Sight = WHOLE
    ) -> None:
        """`keeps_latest_snapshot`: a snapshot that was not fetched yet gives way to the next one."""
        self.sight = sight  #: what is beyond it is not put in
        self._queue: deque[Published] = deque()
        self._capacity = capacity
        self._keeps_latest = keeps_latest_snapshot
        self.news = asyncio.Event()  #: set whenever there may be something to take
        self.ending: StreamEnding | None = None  #: why there will be no more; None while it goes on

    def put(self, published: Published) -> bool:
        """Adds a message; False when the subscriber is too far behind."""
        if self._keeps_latest and published.message.topic is Topic.GPU:
            self._forget_snapshot()
        if len(self._queue) >= self._capacity:
            return False
        self._queue.append(published)
        self.news.set()
        return True

    def _forget_snapshot(self) -> None:
        for waiting in self._queue:
            if waiting.message.topic is Topic.GPU:
                # There is one at most.
                self._queue.remove(waiting)
                return

    def end(self) -> None:
        """Ends the subscription once what waits has been taken."""
        self._end(StreamEnding.SERVER_ENDING)

    def drop(self) -> Counter[Topic]:
        """Ends the subscription at once; returns how many waiting messages were thrown away, by topic."""
        lost = Counter(published.message.topic for published in self._queue)
        self._queue.clear()
        self._end(StreamEnding.TOO_SLOW)
        return lost

    def _end(self, why: StreamEnding) -> None:
        self.ending = self.ending or why
        self.news.set()

    def take(self) -> list[Published]:
        """The waiting messages, as many as should be sent together; empty when there are none."""
        taken: list[Published] = []
        size = 0
        while self._queue and size < TOGETHER_BYTES:
            taken.append(self._queue.popleft())
            size += len(taken[-1].message.json)
        return taken

    async def after(self, number: int) -> AsyncGenerator[list[Published], None]:
        """The messages with a number above `number` as they come, in lists of all that are ready."""
        while True:
            self.news.clear()
            taken = self.take()
            if taken:
                yield [published for published in taken if published.number > number]
            elif self.ending is not None:
                return
            else:
                await self.news.wait()
