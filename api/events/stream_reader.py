"""Read the messages that a subscriber of one task has missed, and how the task ended."""

from api.domain.tasks.training import TaskFilter, TaskStatus
from api.events.messages import end_message, progress_message, status_message
from api.logs.service import find_end
from api.streaming.models import EventPosition, Message
from api.training.records.attempt_store import AttemptStore
from api.training.records.event_store import EventStore
from api.training.records.task_store import TaskStore
from api.training.task_answers import ProgressAnswers
from api.training.views import TaskProgressView
from api.util.clock import Clock
from api.util.http.pagination import MAX_LIMIT

#: Number of events that are read at a time for a subscriber that reconnects.
EVENTS_AT_ONCE = 500


class TaskStreamReader:
    """Reads the database for streams. Call it in threads, never in the event loop."""

    def __init__(
        self, tasks: TaskStore, attempts: AttemptStore, events: EventStore, progress: ProgressAnswers, clock: Clock
    ) -> None:
        self._tasks = tasks
        self._attempts = attempts
        self._events = events
        self._progress = progress
        self._clock = clock

    def position(self, task_id: str, after: int | None) -> EventPosition:
        """Return the events after this id and the task's status: see EventStore. Raises TaskNotFound."""
        return self._events.position(task_id, after, EVENTS_AT_ONCE)

    def missed(self, position: EventPosition) -> list[Message]:
        """Return the events of a position as messages."""
        return [status_message(event) for event in position.events]

    def find_active(self) -> set[str]:
        """Return the ids of the tasks that run, start or stop."""
        active = TaskFilter(tuple(status for status in TaskStatus if status.is_active))
        return {task.task_id for task in self._tasks.page(active, MAX_LIMIT, None, None)[0]}

    def view(self, task_id: str) -> TaskProgressView:
        """Return a task's progress. Raises TaskNotFound."""
        return self._progress.get_progress(task_id)

    def progress(self, task_id: str) -> Message:
        """Return the message about a task's progress. Raises TaskNotFound."""
        return progress_message(self.view(task_id))

    def end(self, task_id: str, position: int) -> Message | None:
        """Return the message about how the task ended, with the event `position`.

        None if it has not ended. Raises TaskNotFound.
        """
        end = find_end(self._tasks, self._attempts, task_id)
        return None if end is None else end_message(end, position, self._clock.now())
