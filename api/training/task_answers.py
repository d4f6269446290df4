"""What this server knows of tasks of any kind: progress, reasons why they wait, lost output, owner, events."""

from collections.abc import Sequence
from pathlib import Path

from api.domain.tasks.progress import ProgressReport
from api.domain.tasks.training import Attempt, TaskEvent, TaskSummary
from api.executors.executor import AttemptRef, Executor
from api.files.task_files import task_files
from api.training.attempts.stop_delivery import AttemptStopping
from api.training.attempts.watch.watches import Watches
from api.training.queue.dispatcher import Dispatcher
from api.training.queue.forecast import QueueForecast
from api.training.records.attempt_store import AttemptStore
from api.training.records.task_store import TaskStore
from api.training.view_builders import Waiting, show_progress_of
from api.training.views import TaskProgressView
from api.util.clock import Clock
from api.util.http.pagination import MAX_LIMIT, Page, PageRequest, Pagination


class LostOutput:
    """Counts lost bytes, from the outcome of ended attempts and the supervisor of running ones."""

    def __init__(self, executor: Executor, storage_root: Path) -> None:
        self._executor = executor
        self._storage_root = storage_root

    def count(self, attempts: Sequence[Attempt]) -> int | None:
        """Return the lost bytes of these attempts together, or None if none is known."""
        known = [count for attempt in attempts if (count := self._lost_bytes(attempt)) is not None]
        return sum(known) if known else None

    def _lost_bytes(self, attempt: Attempt) -> int | None:
        if attempt.outcome is not None:
            count = attempt.outcome.get("log_lost_bytes")
            return count if isinstance(count, int) else None
        files = task_files(self._storage_root, attempt.task_id)
        return self._executor.lost_bytes(AttemptRef(attempt.uid, files.attempts / str(attempt.number), files.log))


class ProgressAnswers:
    """Reports the progress of tasks, and what they wait for. Thread-safe."""

    def __init__(
        self,
        attempts: AttemptStore,
        dispatcher: Dispatcher,
        forecast: QueueForecast,
        watches: Watches,
        stopping: AttemptStopping,
        lost: LostOutput,
        clock: Clock,
    ) -> None:
        self._attempts = attempts
        self._forecast = forecast
        self.lost = lost
        self._dispatcher = dispatcher
        self._watches = watches
        self.stopping = stopping
        self._clock = clock

    def get_progress(self, task_id: str) -> TaskProgressView:
        """Return the progress of a task. Raise TaskNotFound."""
        task, attempts = self._attempts.with_summary(task_id)
        reason = self._dispatcher.why_waiting(task)
        return show_progress_of(task, attempts, self.live(task, attempts), self._clock.now(), reason)

    def live(self, task: TaskSummary, attempts: Sequence[Attempt]) -> ProgressReport | None:
        """Return the progress known to the watch of the latest attempt, or None if this server does not watch it."""
        watch = self._watches.get(attempts[-1].uid) if attempts and task.status.is_active else None
        return None if watch is None else watch.show()

    def find_wait(self, task: TaskSummary) -> Waiting:
        """Return why a task waits, as far as the reader may know, and when it will start."""
        return Waiting(self._dispatcher.why_waiting(task), self._forecast.of(task))


def event_page(tasks: TaskStore, task_id: str, page: PageRequest, *, is_newest_first: bool = False) -> Page[TaskEvent]:
    """Return a page of a task's events, oldest first, or newest first. Raise TaskNotFound."""
    tasks.get_summary(task_id)
    limit, after = min(page.limit, MAX_LIMIT), int(page.cursor or 0)
    skipped = 0 if page.cursor is not None else page.offset or 0
    found = tasks.events(task_id, after, limit + 1 + skipped, is_newest_first=is_newest_first)[skipped:]
    rows, has_more = tuple(found[:limit]), len(found) > limit
    total, offset = tasks.count_events(task_id), None if page.cursor is not None else skipped
    return Page(rows, Pagination(total, limit, offset, has_more, str(rows[-1].id) if has_more else None))


class TaskOwners:
    """Finds the owner of a task. Uses memory while its attempt runs here, so that a stop works without a database."""

    def __init__(self, tasks: TaskStore, watches: Watches) -> None:
        self._tasks = tasks
        self._watches = watches

    def of(self, task_id: str) -> str | None:
        """Return the owner of a task, or None if it has none. Raise TaskNotFound or DatabaseUnavailable."""
        watch = self._watches.find(task_id)
        return self._tasks.get_summary(task_id).owner if watch is None else watch.task.owner
