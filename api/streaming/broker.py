"""Carries messages from the threads that make them to subscribers in the event loop: bounded, and without waiting."""

import asyncio
import secrets
import threading
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from api.domain.sight import WHOLE, Sight
from api.errors import Unavailable
from api.streaming.models import Message, MessageType, Topic
from api.streaming.subscription import QUEUE_MESSAGES, Published, Subscription, TooSlow

#: Messages of a topic that are kept for subscribers who come back. Eight trainings make about 16 a second.
HISTORY: Mapping[Topic, int] = {Topic.GPU: 1, Topic.TASK: 1024, Topic.LOG: 0, Topic.SYSTEM: 128, Topic.ALERT: 512}

#: The most digits of the number that a returning client names.
_DIGITS = 18

_Address = tuple[Topic, str | None]


@dataclass(frozen=True, slots=True)
class Missed:
    """What a subscriber gets first."""

    messages: tuple[Published, ...]
    number: int  #: the number of the latest message
    is_continued: bool  #: whether `messages` are what it missed; otherwise they are the present state
    is_reset: bool  #: whether it has come back and what it missed is no longer known


class Broker:
    """Hands each message to those who want it. `publish` may be called from any thread, the rest in the loop."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(4)  #: a random word, which tells this process's numbers from those of any other
        self.published: Counter[Topic] = Counter()
        self.dropped: Counter[Topic] = Counter()  #: subscribers dropped, by the topic that did not fit any more
        self.lost: Counter[Topic] = Counter()  #: messages lost with them, by topic
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscriptions: dict[Subscription, tuple[_Address, ...]] = {}
        self._wanted: dict[_Address, set[Subscription]] = {}
        self._history: dict[Topic, deque[Published]] = {topic: deque() for topic in Topic}
        self._forgotten: Counter[Topic] = Counter()  # the number of the latest that a history has lost
        self._progress: dict[str, Published] = {}  # the latest of each active task
        self._number = 0
        self._closed = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sets the event loop that the subscribers live in."""
        self._loop = loop

    @property
    def subscribers(self) -> int:
        """How many subscribers there are."""
        return len(self._subscriptions)

    # -- publishing ------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        """Hands a message on; returns at once."""
        # It is remembered before the subscribers are looked at, and a subscriber looks at what is remembered after it
        # has joined them: so none misses a message, and one that it gets twice shows by its number.
        with self._lock:
            self._number += 1
            published = Published(self._number, message, self.boot)
            self.published[message.topic] += 1
            self._remember(published)
            if self._loop is not None and self._subscriptions:
                with suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._fan_out, published)

    def _remember(self, published: Published) -> None:
        message = published.message
        if message.task_id is not None and message.status is not None:
            if message.type is MessageType.PROGRESS and message.status.is_active:
                self._progress[message.task_id] = published
            elif not message.status.is_active:
                self._progress.pop(message.task_id, None)
        if message.is_detail:
            return
        history = self._history[message.topic]
        history.append(published)
        if len(history) > HISTORY[message.topic]:
            self._forgotten[message.topic] = history.popleft().number

    def keep_progress(self, task_ids: Collection[str]) -> None:
        """Forgets the progress of all other tasks: they are not active any more."""
        with self._lock:
            for task_id in self._progress.keys() - set(task_ids):
                del self._progress[task_id]

    def _fan_out(self, published: Published) -> None:
        message = published.message
        everything = () if message.is_detail else self._wanted.get((message.topic, None), ())
        wanting = [each for each in everything if message.concerns(each.sight)]
        if message.task_id is not None:
            wanting += self._wanted.get((message.topic, message.task_id), ())
        for subscription in wanting:
            if not subscription.put(published):
                self.lost[message.topic] += 1
                self._drop(subscription, message.topic)

    def _drop(self, subscription: Subscription, topic: Topic) -> None:
        self.dropped[topic] += 1
        self.lost.update(subscription.drop())
        self._forget(subscription)

    # -- subscribing -----------------------------------------------------------------------------------------------

    def require_open(self) -> None:
        """Raises Unavailable when the server is about to end."""
        if self._closed:
            raise Unavailable("The server is ending.", headers={"Retry-After": "5"})

    @contextmanager
    def subscribe(
        self,
        topics: Collection[Topic],
        task_id: str | None = None,
        *,
        capacity: int = QUEUE_MESSAGES,
        keeps_latest_snapshot: bool = False,
        sight: Sight = WHOLE,
    ) -> Iterator[Subscription]:
        """A subscription within the `with` block; with a task's id it gets that task's messages and details. Of all
        tasks it gets what this sight allows.

        Without topics it only learns that the server ends. Raises Unavailable at the end.
        """
        self.require_open()
        subscription = Subscription(capacity, keeps_latest_snapshot=keeps_latest_snapshot, sight=sight)
        wanted = tuple((topic, task_id) for topic in topics)
        self._subscriptions[subscription] = wanted
        for address in wanted:
            self._wanted.setdefault(address, set()).add(subscription)
        try:
            yield subscription
        except TooSlow:
            if subscription in self._subscriptions:
                # A message could not be sent in time, before too many waited.
                self._drop(subscription, next(iter(topics), Topic.SYSTEM))
            raise
        finally:
            self._forget(subscription)

    def _forget(self, subscription: Subscription) -> None:
        for address in self._subscriptions.pop(subscription, ()):
            self._wanted[address].discard(subscription)
            if not self._wanted[address]:
                del self._wanted[address]

    # -- what was before -------------------------------------------------------------------------------------------

    def catch_up(self, topics: Collection[Topic], last_id: str | None, sight: Sight = WHOLE) -> Missed:
        """What came after `last_id`, as far as this sight allows; the present state without an id, or with one that is
        no longer known here.
        """
        with self._lock:
            number = None if last_id is None else self._number_of(last_id, topics)
            known = self._present(topics) if number is None else self._after(number, topics)
            seen = tuple(each for each in known if each.message.concerns(sight))
            is_continued = number is not None
            return Missed(seen, self._number, is_continued, is_reset=not is_continued and last_id is not None)

    def _after(self, number: int, topics: Collection[Topic]) -> list[Published]:
        kept = [each for topic in topics for each in self._history[topic] if each.number > number]
        return sorted(kept, key=lambda published: published.number)

    def _number_of(self, last_id: str, topics: Collection[Topic]) -> int | None:
        boot, _, digits = last_id.partition("-")
        if boot != self.boot or not (digits.isascii() and digits.isdecimal()) or len(digits) > _DIGITS:
            return None
        number = int(digits)
        # Of the snapshots nobody misses any but the latest.
        forgotten = max((self._forgotten[topic] for topic in topics if topic is not Topic.GPU), default=0)
        return number if forgotten <= number <= self._number else None

    def _present(self, topics: Collection[Topic]) -> list[Published]:
        present: list[Published] = []
        if Topic.GPU in topics:
            present += self._history[Topic.GPU]
        if Topic.TASK in topics:
            present += self._progress.values()
        return sorted(present, key=lambda published: published.number)

    def latest_snapshot(self) -> Published | None:
        """The latest snapshot of the GPUs as a message; None before the first."""
        with self._lock:
            return self._history[Topic.GPU][-1] if self._history[Topic.GPU] else None

    def latest_progress(self, task_id: str) -> Published | None:
        """The latest message of how far an active task is; None before the first."""
        with self._lock:
            return self._progress.get(task_id)

    # -- the end ---------------------------------------------------------------------------------------------------

    def close_soon(self) -> None:
        """Ends every subscription; may be called from a signal handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.close)

    def close(self) -> None:
        """Ends every subscription after what waits for it."""
        self._closed = True
        for subscription in [*self._subscriptions]:
            subscription.end()
            self._forget(subscription)
