"""From the thread that makes messages to the subscribers of the event loop: bounded, and nobody waits for anybody."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api.errors import Unavailable

#: Messages that a subscriber may be behind; one that is further behind has stopped reading and is dropped.
QUEUE_MESSAGES = 16

#: Subscribers at most; each takes about 50 KB.
MAX_SUBSCRIBERS = 5_000


@dataclass(frozen=True, slots=True)
class Message:
    """One message, framed once for all: its number, its JSON, and the Server-Sent Event around it."""

    number: int
    json: bytes
    event: bytes

    @classmethod
    def of(cls, number: int, json: bytes) -> "Message":
        return cls(number, json, b"id: %d\ndata: %b\n\n" % (number, json))


class Subscription:
    """One subscriber's queue. It ends when the broker closes or the subscriber has fallen too far behind."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE_MESSAGES + 1)
        self.has_lagged = False

    def put(self, message: Message) -> bool:
        """False when the subscriber is too far behind."""
        if self._queue.qsize() >= QUEUE_MESSAGES:
            self.has_lagged = True
            return False
        self._queue.put_nowait(message)
        return True

    def end(self) -> None:
        """Ends it after what is queued; there is always room for the end."""
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def get(self) -> Message | None:
        """The next message; None at the end."""
        return await self._queue.get()


class Broker:
    """Hands each message to every subscriber. `publish` may be called from any thread, the rest in the loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscriptions: set[Subscription] = set()
        self._closed = False
        self.latest: Message | None = None
        self.dropped = 0

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Names the loop that the subscribers live in; messages from before are nobody's."""
        self._loop = loop

    @property
    def subscribers(self) -> int:
        """How many there are."""
        return len(self._subscriptions)

    def publish(self, number: int, json: bytes) -> None:
        """Hands a message on; returns at once."""
        # The latest is set before the subscribers are looked at, and a subscriber looks at the latest after it has
        # joined them: so none misses a message, and one that it gets twice shows by its number.
        message = self.latest = Message.of(number, json)
        loop = self._loop
        if loop is not None and self._subscriptions and not loop.is_closed():
            loop.call_soon_threadsafe(self._fan_out, message)

    def _fan_out(self, message: Message) -> None:
        for subscription in [s for s in self._subscriptions if not s.put(message)]:
            self.dropped += 1
            self._subscriptions.discard(subscription)
            subscription.end()

    def require_room(self) -> None:
        """Raises Unavailable when no subscriber more can be taken."""
        if self._closed or len(self._subscriptions) >= MAX_SUBSCRIBERS:
            raise Unavailable("There are too many live subscribers.", headers={"Retry-After": "10"})

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """A subscription for the length of a `with`. Raises Unavailable when there are too many, or at the end."""
        self.require_room()
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close_soon(self) -> None:
        """Ends every subscription; may be called from a signal handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.close)

    def close(self) -> None:
        """Ends every subscription."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()
        self._subscriptions.clear()
