"""Pass messages from the threads that create them to subscribers in the event loop, bounded and without waiting."""

import asyncio
import secrets
import threading
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from api.domain.access.read_scope import WHOLE, ReadScope
from api.errors import Unavailable
from api.streaming.models import Message, MessageType, Topic
from api.streaming.subscription import QUEUE_MESSAGES, Published, Subscription, TooSlow

#: Number of messages of a topic that are stored for subscribers that reconnect. Eight trainings make about 16 a second.
HISTORY: Mapping[Topic, int] = {Topic.GPU: 1, Topic.TASK: 1024, Topic.LOG: 0, Topic.SYSTEM: 128, Topic.ALERT: 512}

#: Maximum number of digits of the number in a client's last id.
_DIGITS = 18

_SubscriptionKey = tuple[Topic, str | None]


@dataclass(frozen=True, slots=True)
class MissedMessages:
    """The first messages for a subscriber."""

    messages: tuple[Published, ...]
    number: int  #: number of the latest message
    is_continued: bool  #: whether `messages` are what it missed; otherwise they are the current state
    is_reset: bool  #: whether it has reconnected, and what it missed is no longer known


class Broker:
    """Passes each message to its subscribers. `publish` may be called from any thread, the rest in the event loop."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(4)  #: random id of this process in the ids of its messages
        self.published: Counter[Topic] = Counter()
        self.dropped: Counter[Topic] = Counter()  #: subscribers dropped, by the topic of the message that did not fit
        self.lost: Counter[Topic] = Counter()  #: messages lost with them, by topic
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscriptions: dict[Subscription, tuple[_SubscriptionKey, ...]] = {}
        self._subscribers_by_key: dict[_SubscriptionKey, set[Subscription]] = {}
        self._history: dict[Topic, deque[Published]] = {topic: deque() for topic in Topic}
        self._dropped_up_to: Counter[Topic] = Counter()  # number of the latest message that a history has dropped
        self._progress: dict[str, Published] = {}  # latest message of each active task
        self._number = 0
        self._closed = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop of the subscribers."""
        self._loop = loop

    @property
    def subscribers(self) -> int:
        """The number of subscribers."""
        return len(self._subscriptions)

    # -- publishing ------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        """Pass a message on. Returns immediately."""
        # The message is stored before it is passed to the subscribers, and a subscriber reads the stored messages after
        # it has subscribed. So none is missed, and a duplicate is recognised by its number.
        with self._lock:
            self._number += 1
            published = Published(self._number, message, self.boot)
            self.published[message.topic] += 1
            self._store(published)
            if self._loop is not None and self._subscriptions:
                with suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._fan_out, published)

    def _store(self, published: Published) -> None:
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
            self._dropped_up_to[message.topic] = history.popleft().number

    def retain_progress(self, task_ids: Collection[str]) -> None:
        """Forget the progress of all other tasks, which are no longer active."""
        with self._lock:
            for task_id in self._progress.keys() - set(task_ids):
                del self._progress[task_id]

    def _fan_out(self, published: Published) -> None:
        message = published.message
        subscribers = () if message.is_detail else self._subscribers_by_key.get((message.topic, None), ())
        receivers = [each for each in subscribers if message.concerns(each.scope)]
        if message.task_id is not None:
            receivers += self._subscribers_by_key.get((message.topic, message.task_id), ())
        for subscription in receivers:
            if not subscription.put(published):
                self.lost[message.topic] += 1
                self._drop(subscription, message.topic)

    def _drop(self, subscription: Subscription, topic: Topic) -> None:
        self.dropped[topic] += 1
        self.lost.update(subscription.drop())
        self._unsubscribe(subscription)

    # -- subscribing -----------------------------------------------------------------------------------------------

    def require_open(self) -> None:
        """Raise Unavailable if the server is shutting down."""
        if self._closed:
            raise Unavailable(
                "The server is shutting down. Connect again in some seconds.", headers={"Retry-After": "5"}
            )

    @contextmanager
    def subscribe(
        self,
        topics: Collection[Topic],
        task_id: str | None = None,
        *,
        capacity: int = QUEUE_MESSAGES,
        keeps_latest_snapshot: bool = False,
        scope: ReadScope = WHOLE,
    ) -> Iterator[Subscription]:
        """Subscribe within the `with` block.

        With a task's id, the subscriber gets that task's messages and details. Without one, it gets the messages of all
        tasks that this scope includes. Without topics it is only notified when the server shuts down. Raises
        Unavailable after the shutdown.
        """
        self.require_open()
        subscription = Subscription(capacity, keeps_latest_snapshot=keeps_latest_snapshot, scope=scope)
        keys = tuple((topic, task_id) for topic in topics)
        self._subscriptions[subscription] = keys
        for key in keys:
            self._subscribers_by_key.setdefault(key, set()).add(subscription)
        try:
            yield subscription
        except TooSlow:
            if subscription in self._subscriptions:
                # A message could not be sent in time, although the queue was not full.
                self._drop(subscription, next(iter(topics), Topic.SYSTEM))
            raise
        finally:
            self._unsubscribe(subscription)

    def _unsubscribe(self, subscription: Subscription) -> None:
        for key in self._subscriptions.pop(subscription, ()):
            self._subscribers_by_key[key].discard(subscription)
            if not self._subscribers_by_key[key]:
                del self._subscribers_by_key[key]

    # -- stored messages -------------------------------------------------------------------------------------------

    def catch_up(self, topics: Collection[Topic], last_id: str | None, scope: ReadScope = WHOLE) -> MissedMessages:
        """Return the messages after `last_id`, as far as this scope includes them.

        Without an id, or if it is no longer known here, the current state is returned.
        """
        with self._lock:
            number = None if last_id is None else self._number_of(last_id, topics)
            known = self._current(topics) if number is None else self._after(number, topics)
            seen = tuple(each for each in known if each.message.concerns(scope))
            is_continued = number is not None
            return MissedMessages(seen, self._number, is_continued, is_reset=not is_continued and last_id is not None)

    def _after(self, number: int, topics: Collection[Topic]) -> list[Published]:
        missed = [each for topic in topics for each in self._history[topic] if each.number > number]
        return sorted(missed, key=lambda published: published.number)

    def _number_of(self, last_id: str, topics: Collection[Topic]) -> int | None:
        boot, _, digits = last_id.partition("-")
        if boot != self.boot or not (digits.isascii() and digits.isdecimal()) or len(digits) > _DIGITS:
            return None
        number = int(digits)
        # Of the snapshots only the latest matters.
        dropped = max((self._dropped_up_to[topic] for topic in topics if topic is not Topic.GPU), default=0)
        return number if dropped <= number <= self._number else None

    def _current(self, topics: Collection[Topic]) -> list[Published]:
        current: list[Published] = []
        if Topic.GPU in topics:
            current += self._history[Topic.GPU]
        if Topic.TASK in topics:
            current += self._progress.values()
        return sorted(current, key=lambda published: published.number)

    def latest_snapshot(self) -> Published | None:
        """Return the latest snapshot of the GPUs as a message; None before the first."""
        with self._lock:
            return self._history[Topic.GPU][-1] if self._history[Topic.GPU] else None

    def latest_progress(self, task_id: str) -> Published | None:
        """Return the latest message about an active task's progress; None before the first."""
        with self._lock:
            return self._progress.get(task_id)

    # -- shutdown --------------------------------------------------------------------------------------------------

    def close_soon(self) -> None:
        """End every subscription. May be called from a signal handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.close)

    def close(self) -> None:
        """End every subscription after its queued messages."""
        self._closed = True
        for subscription in [*self._subscriptions]:
            subscription.end()
            self._unsubscribe(subscription)
