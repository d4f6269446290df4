"""Tells what is new about trainings, to whoever listens: from the table of events, and from the training loop."""

import functools
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from api.access.visibility import Visibility
from api.domain.sight import seeing
from api.domain.training import EventKind, TaskFilter, TaskStatus
from api.errors import DatabaseUnavailable, TaskNotFound
from api.events.following import TaskFollowing
from api.events.messages import points_message, progress_message, status_message, system_message
from api.events.tail import EventTail
from api.streaming.models import Message, ToldEvent
from api.training.attempts.updates import NewsDesk
from api.training.store import TaskStore
from api.training.task_progress import ProgressAnswers
from api.training.views import TaskProgressView
from api.util.batches import in_batches
from api.util.clock import Clock
from api.util.pagination import MAX_LIMIT
from api.util.periodic import PeriodicThread

#: Seconds between two messages about the progress of one task, at least.
PROGRESS_SECONDS = 1.0

#: Seconds between two looks for another server's events, of which nobody here is told.
LOOK_SECONDS = 2.0

#: Seconds between two rounds, and after each in which no event begins another one: what many requests a second change
#: is read together.
ROUND_SECONDS = 0.5
REST_SECONDS = 0.05

#: Owners of tasks that are remembered; a task never changes hands.
REMEMBERED = 10_000

#: The most points in one message.
POINTS_AT_ONCE = 200


class Outlet(Protocol):
    """Publishes messages. Every call returns at once and never fails."""

    def publish(self, message: Message) -> None: ...
    def keep_progress(self, task_ids: Collection[str]) -> None: ...


class FakeOutlet:
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.kept: set[str] = set()

    def publish(self, message: Message) -> None:
        self.messages.append(message)

    def keep_progress(self, task_ids: Collection[str]) -> None:
        self.kept = set(task_ids)


class TaskNews:
    """Turns notes and events into messages."""

    def __init__(
        self,
        desk: NewsDesk,
        tail: EventTail,
        tasks: TaskStore,
        progress: ProgressAnswers,
        following: TaskFollowing,
        outlet: Outlet,
        clock: Clock,
        visibility: Visibility,
        *,
        is_told: Callable[[], bool],
        count_dropped: Callable[[], int],
    ) -> None:
        """`is_told` says whether the progress of trainings comes by itself: from the loop here, or from another
        server; otherwise the database is looked at now and then. `count_dropped`: subscribers dropped up to now.
        """
        self._desk = desk
        self._tail = tail
        self._tasks = tasks
        self._progress = progress
        self._following = following
        self._outlet = outlet
        self._clock = clock
        self._visibility = visibility
        self._owner_of: Callable[[str], str | None] = functools.lru_cache(REMEMBERED)(self._find_owner)
        self._is_told = is_told
        self._count_dropped = count_dropped
        self._dropped = 0
        self._untold: deque[ToldEvent] = deque()
        self._due: set[str] = set()
        self._told: dict[str, tuple[float, TaskProgressView]] = {}
        self._has_news = True
        self._looked_at = float("-inf")
        self._thread = PeriodicThread("task-news", ROUND_SECONDS, self.run_once, REST_SECONDS)
        desk.wake = self._thread.trigger

    def start(self) -> None:
        """Starts to tell what is new from now on."""
        self.begin()
        self._thread.start()

    def begin(self) -> None:
        """Takes everything up to now as known."""
        try:
            self._tail.begin()
        except DatabaseUnavailable:
            # Its first answer is the beginning then.
            return

    def stop(self) -> None:
        """Stops the thread."""
        self._thread.stop()

    def wake(self) -> None:
        """Has new events read at once."""
        self._has_news = True
        self._thread.trigger()

    def run_once(self) -> None:
        """Publishes everything that is new."""
        try:
            self._tell()
        except DatabaseUnavailable:
            # The training loop says so; here it is tried again in a second.
            self._has_news = True

    def _tell(self) -> None:
        now = self._clock.monotonic()
        self._untold += self._read_events(now)
        # Points are noted before the event that they lead to: so none comes after the end of its task.
        changed, points = self._desk.take()
        self._due |= changed
        for task_id, added in points.items():
            for some in in_batches(added, POINTS_AT_ONCE):
                self._outlet.publish(points_message(task_id, some, self._clock.now()))
        while self._untold:
            self._tell_event(self._untold[0], now)
            self._untold.popleft()
        for task_id in [*self._due]:
            self._tell_progress(task_id, now)

    def _read_events(self, now: float) -> list[ToldEvent]:
        if now - self._looked_at >= LOOK_SECONDS:
            self._look_at_active()
            self._tell_dropped()
            self._looked_at = now
        elif not self._has_news:
            return []
        self._has_news = False
        return self._tail.read()

    def _look_at_active(self) -> None:
        active = TaskFilter(tuple(status for status in TaskStatus if status.is_active))
        task_ids = {task.task_id for task in self._tasks.page(active, MAX_LIMIT, None, None)[0]}
        self._outlet.keep_progress(task_ids)
        self._told = {task_id: told for task_id, told in self._told.items() if task_id in task_ids}
        if not self._is_told():
            self._due |= task_ids

    def _tell_dropped(self) -> None:
        # Once for all of them: a message for each would drop the next.
        before, self._dropped = self._dropped, self._count_dropped()
        count = self._dropped - before
        if count > 0:
            what = "A subscriber was" if count == 1 else f"{count:,} subscribers were"
            message = f"{what} dropped for not reading."
            self._outlet.publish(system_message("warning", message, self._clock.now(), dropped=count))

    def _tell_event(self, told: ToldEvent, now: float) -> None:
        message, task_id = status_message(told), told.event.task_id
        if not told.status.is_finished or told.event.type is EventKind.STATUS:
            # What is still said of one that has ended, as a new name, makes it no further.
            self._due.add(task_id)
        end = None
        if message.status is not None and message.status.is_finished:
            # Its last progress comes before it, and its end after it.
            self._tell_progress(task_id, now, at_once=True)
            end = self._end_of(task_id, told.event.id)
        self._publish(message)
        if end is not None:
            self._publish(end)

    def _publish(self, message: Message) -> None:
        """Publishes a message, with whom its task belongs to where others do not see it."""
        if self._visibility.hides_others and message.task_id is not None:
            with suppress(TaskNotFound):
                message = replace(message, owner=self._owner_of(message.task_id))
        self._outlet.publish(message)

    def _find_owner(self, task_id: str) -> str | None:
        return self._tasks.get_summary(task_id).owner

    def _end_of(self, task_id: str, position: int) -> Message | None:
        try:
            return self._following.end(task_id, position)
        except TaskNotFound:
            return None

    def _tell_progress(self, task_id: str, now: float, *, at_once: bool = False) -> None:
        told_at, before = self._told.get(task_id, (float("-inf"), None))
        if not at_once and now - told_at < PROGRESS_SECONDS:
            return
        self._due.discard(task_id)
        try:
            view = self._progress.get_progress(task_id)
            is_news = before is None or _timeless(view) != _timeless(before)
            message = self._progress_message(view) if is_news else None
        except TaskNotFound:
            self._told.pop(task_id, None)
            return
        if message is not None:
            self._publish(message)
        self._told[task_id] = (now, view)

    def _progress_message(self, view: TaskProgressView) -> Message:
        message = progress_message(view)
        if view.waiting_reason is None:
            return message
        # Only a reason to wait speaks of others.
        owner = self._tasks.get_summary(view.task_id).owner
        with seeing(self._visibility.least_sight_of(owner)):
            told = progress_message(self._progress.get_progress(view.task_id))
        return replace(message, restricted=told.json)


def _timeless(view: TaskProgressView) -> TaskProgressView:
    """The view without what changes by the mere passing of time, to see whether anything else has."""
    progress = replace(view.progress, training_time=None, training_time_formatted=None)
    return replace(view, progress=progress, updated_at=None)  # type: ignore[arg-type]
