"""Reads for a follower of one task what came before, and how the task ended."""

from api.events.messages import end_message, progress_message, status_message
from api.logs.task_end import find_end
from api.streaming.models import EventPosition, Message
from api.training.attempt_store import AttemptStore
from api.training.event_store import EventStore
from api.training.store import TaskStore
from api.training.task_progress import ProgressAnswers
from api.util.clock import Clock

#: Events that are read at a time for a follower that comes back.
EVENTS_AT_ONCE = 500


class TaskFollowing:
    """Reads the database: for threads, never for the event loop."""

    def __init__(
        self, tasks: TaskStore, attempts: AttemptStore, events: EventStore, progress: ProgressAnswers, clock: Clock
    ) -> None:
        self._tasks = tasks
        self._attempts = attempts
        self._events = events
        self._progress = progress
        self._clock = clock

    def position(self, task_id: str, after: int | None) -> EventPosition:
        """The events after this id, and the task's status: see EventStore. Raises TaskNotFound."""
        return self._events.position(task_id, after, EVENTS_AT_ONCE)

    def missed(self, position: EventPosition) -> list[Message]:
        """The events of a position as messages."""
        return [status_message(told) for told in position.events]

    def progress(self, task_id: str) -> Message:
        """The message of how far the task is. Raises TaskNotFound."""
        return progress_message(self._progress.get_progress(task_id))

    def end(self, task_id: str, position: int) -> Message | None:
        """The message of how the task ended, by the event `position`; None while it goes on. Raises TaskNotFound."""
        end = find_end(self._tasks, self._attempts, task_id)
        return None if end is None else end_message(end, position, self._clock.now())
