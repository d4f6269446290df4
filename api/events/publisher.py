"""Publish the changes of trainings to subscribers: from the table of events, and from the training loop."""

import functools
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from api.access.authority import Visibility
from api.domain.access.read_scope import seeing
from api.domain.tasks.training import EventKind
from api.errors import DatabaseUnavailable, TaskNotFound
from api.events.messages import points_message, progress_message, status_message, system_message
from api.events.stream_reader import TaskStreamReader
from api.streaming.models import EventWithStatus, Message
from api.training.attempts.watch.updates import NewsDesk
from api.training.records.task_store import TaskStore
from api.training.task_answers import ProgressAnswers
from api.training.views import TaskProgressView
from api.util.batches import in_batches
from api.util.clock import Clock
from api.util.periodic import LoopOwner, PeriodicThread

T = TypeVar("T")

#: Minimum number of seconds between two messages about the progress of one task.
PROGRESS_SECONDS = 1.0

#: Seconds between two polls for events of other servers, which do not wake this one.
LOOK_SECONDS = 2.0

#: Seconds between two rounds, and the minimum pause after each. The pause lets one round read the events of many
#: requests together.
ROUND_SECONDS = 0.5
REST_SECONDS = 0.05

#: Number of cached owners of tasks; the owner of a task never changes.
CACHED_OWNERS = 10_000

#: Maximum number of points in one message.
POINTS_AT_ONCE = 200


#: Concurrent transactions may become visible in another order than that of their ids. Events this far below the highest
#: id are still read; there are never so many during one transaction.
WINDOW = 1_000

#: Number of events that are read at a time.
AT_ONCE = 500


class NumberedRows(Protocol):
    """A table whose rows have increasing ids."""

    def latest_id(self) -> int: ...
    def ids_above(self, id_: int, limit: int) -> list[int]: ...


class EventTail(Generic[T]):
    """The position of one reader in a table of events. Not thread-safe."""

    def __init__(self, events: NumberedRows, get: Callable[[Sequence[int]], list[T]]) -> None:
        """`get` returns the events with these ids, ascending."""
        self._events = events
        self._get = get
        self._highest: int | None = None
        self._missing: set[int] = set()  #: lower ids that were not visible: of open transactions, or unused

    def begin(self) -> None:
        """Treat all existing events as known. Raises DatabaseUnavailable."""
        highest = self._events.latest_id()
        known = self._events.ids_above(highest - WINDOW, WINDOW)
        self._missing = set(range(max(0, highest - WINDOW) + 1, highest)).difference(known)
        self._highest = max(highest, *known) if known else highest

    def read(self) -> list[T]:
        """Return the events that are new since the last call. Raises DatabaseUnavailable."""
        if self._highest is None:
            self.begin()
            return []
        fresh = self._fresh_ids(self._highest)
        found: list[T] = []
        for batch in in_batches(fresh, AT_ONCE):
            found += self._get(batch)
        # Recorded only now: if the database fails before, they are read again.
        self._note(self._highest, fresh)
        return found

    def _fresh_ids(self, highest: int) -> list[int]:
        fresh: list[int] = []
        above = min(self._missing, default=highest + 1) - 1
        while True:
            ids = self._events.ids_above(above, 2 * WINDOW)
            fresh += [id_ for id_ in ids if id_ > highest or id_ in self._missing]
            if len(ids) < 2 * WINDOW:
                return fresh
            above = ids[-1]

    def _note(self, before: int, fresh: Collection[int]) -> None:
        if not fresh:
            return
        self._highest = max(before, *fresh)
        oldest = self._highest - WINDOW
        missing = self._missing.union(range(max(before, oldest) + 1, self._highest)).difference(fresh)
        self._missing = {id_ for id_ in missing if id_ > oldest}


class MessageSink(Protocol):
    """Publishes messages. Every call returns immediately and never fails."""

    def publish(self, message: Message) -> None: ...
    def retain_progress(self, task_ids: Collection[str]) -> None: ...


class FakeMessageSink:
    """Records messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.retained: set[str] = set()

    def publish(self, message: Message) -> None:
        self.messages.append(message)

    def retain_progress(self, task_ids: Collection[str]) -> None:
        self.retained = set(task_ids)


class TaskMessageSink:
    """Publishes messages about tasks, with their owners if users do not see each other's tasks."""

    def __init__(
        self, outlet: MessageSink, tasks: TaskStore, progress: ProgressAnswers, visibility: Visibility
    ) -> None:
        self.outlet = outlet
        self._tasks = tasks
        self._progress = progress
        self._visibility = visibility
        self._owner_of: Callable[[str], str | None] = functools.lru_cache(CACHED_OWNERS)(self._find_owner)

    def publish(self, message: Message) -> None:
        """Publish a message with the owner of its task."""
        if self._visibility.hides_others and message.task_id is not None:
            with suppress(TaskNotFound):
                message = replace(message, owner=self._owner_of(message.task_id))
        self.outlet.publish(message)

    def _find_owner(self, task_id: str) -> str | None:
        return self._tasks.get_summary(task_id).owner

    def publish_progress(self, view: TaskProgressView) -> None:
        """Publish the progress of a task. Raises TaskNotFound."""
        self.publish(self._make_progress_message(view))

    def _make_progress_message(self, view: TaskProgressView) -> Message:
        message = progress_message(view)
        if view.waiting_reason is None:
            return message
        # Only a waiting reason can mention other users' tasks.
        owner = self._tasks.get_summary(view.task_id).owner
        with seeing(self._visibility.minimum_scope_of(owner)):
            restricted = progress_message(self._progress.get_progress(view.task_id))
        return replace(message, restricted=restricted.json)


class TaskPublisher(LoopOwner):
    """Turns events and progress into messages."""

    def __init__(
        self,
        desk: NewsDesk,
        tail: EventTail[EventWithStatus],
        reader: TaskStreamReader,
        messages: TaskMessageSink,
        clock: Clock,
        *,
        has_progress_feed: Callable[[], bool],
        count_dropped: Callable[[], int],
    ) -> None:
        """Create the publisher.

        `has_progress_feed` returns whether progress arrives by itself, from the loop here or from another server. If
        not, the database is polled. `count_dropped` returns the number of dropped subscribers so far.
        """
        self._desk = desk
        self._tail = tail
        self._reader = reader
        self._messages = messages
        self._clock = clock
        self._has_progress_feed = has_progress_feed
        self._count_dropped = count_dropped
        self._dropped = 0
        self._unpublished: deque[EventWithStatus] = deque()
        self._due: set[str] = set()
        self._published: dict[str, tuple[float, TaskProgressView]] = {}
        self._has_new_events = True
        self._polled_at = float("-inf")
        self._thread = PeriodicThread("task-news", ROUND_SECONDS, self.run_once, REST_SECONDS)
        desk.wake = self._thread.trigger

    def start(self) -> None:
        """Start to publish changes from now on."""
        self.begin()
        self._thread.start()

    def begin(self) -> None:
        """Treat all existing events as known."""
        try:
            self._tail.begin()
        except DatabaseUnavailable:
            # Then the first successful read is the start.
            return

    def wake(self) -> None:
        """Read new events immediately."""
        self._has_new_events = True
        self._thread.trigger()

    def run_once(self) -> None:
        """Publish everything new."""
        try:
            self._publish_new()
        except DatabaseUnavailable:
            # The training loop logs this. The next round tries again.
            self._has_new_events = True

    def _publish_new(self) -> None:
        now = self._clock.monotonic()
        self._unpublished += self._read_events(now)
        # Points are recorded before the event that they lead to, so none comes after the end of its task.
        changed, points = self._desk.take()
        self._due |= changed
        for task_id, added in points.items():
            for batch in in_batches(added, POINTS_AT_ONCE):
                self._messages.outlet.publish(points_message(task_id, batch, self._clock.now()))
        while self._unpublished:
            self._publish_event(self._unpublished[0], now)
            self._unpublished.popleft()
        for task_id in [*self._due]:
            self._publish_progress(task_id, now)

    def _read_events(self, now: float) -> list[EventWithStatus]:
        if now - self._polled_at >= LOOK_SECONDS:
            self._poll_active_tasks()
            self._publish_dropped()
            self._polled_at = now
        elif not self._has_new_events:
            return []
        self._has_new_events = False
        return self._tail.read()

    def _poll_active_tasks(self) -> None:
        task_ids = self._reader.find_active()
        self._messages.outlet.retain_progress(task_ids)
        self._published = {task_id: entry for task_id, entry in self._published.items() if task_id in task_ids}
        if not self._has_progress_feed():
            self._due |= task_ids

    def _publish_dropped(self) -> None:
        # One message for all of them: a message for each would drop further subscribers.
        before, self._dropped = self._dropped, self._count_dropped()
        count = self._dropped - before
        if count > 0:
            subject = "A subscriber was" if count == 1 else f"{count:,} subscribers were"
            message = f"{subject} dropped for being too slow."
            self._messages.outlet.publish(system_message("warning", message, self._clock.now(), dropped=count))

    def _publish_event(self, entry: EventWithStatus, now: float) -> None:
        message, task_id = status_message(entry), entry.event.task_id
        if not entry.status.is_finished or entry.event.type is EventKind.STATUS:
            # Later events of a finished task, such as a new name, do not change its progress.
            self._due.add(task_id)
        end = None
        if message.status is not None and message.status.is_finished:
            # The last progress precedes this message, and the end follows it.
            self._publish_progress(task_id, now, immediately=True)
            end = self._end_of(task_id, entry.event.id)
        self._messages.publish(message)
        if end is not None:
            self._messages.publish(end)

    def _end_of(self, task_id: str, position: int) -> Message | None:
        try:
            return self._reader.end(task_id, position)
        except TaskNotFound:
            return None

    def _publish_progress(self, task_id: str, now: float, *, immediately: bool = False) -> None:
        published_at, before = self._published.get(task_id, (float("-inf"), None))
        if not immediately and now - published_at < PROGRESS_SECONDS:
            return
        self._due.discard(task_id)
        try:
            view = self._reader.view(task_id)
            if before is None or _without_times(view) != _without_times(before):
                self._messages.publish_progress(view)
        except TaskNotFound:
            self._published.pop(task_id, None)
            return
        self._published[task_id] = (now, view)


def _without_times(view: TaskProgressView) -> TaskProgressView:
    """Return the view without the fields that change as time passes, to find out whether others have changed."""
    progress = replace(view.progress, training_time=None, training_time_formatted=None)
    return replace(view, progress=progress, updated_at=None)  # type: ignore[arg-type]
