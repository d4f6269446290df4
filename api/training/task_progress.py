"""Progress of tasks of any kind, from the watch of the attempt or else from the database."""

from collections.abc import Sequence

from api.domain.progress import ProgressReport
from api.domain.training import Attempt, TaskSummary
from api.training.attempt_store import AttemptStore
from api.training.attempts.reconciler import Reconciler
from api.training.dispatcher import Dispatcher
from api.training.view import show_progress_of
from api.training.views import TaskProgressView
from api.util.clock import Clock


class ProgressAnswers:
    """Reports the progress of tasks. Thread-safe."""

    def __init__(self, attempts: AttemptStore, dispatcher: Dispatcher, reconciler: Reconciler, clock: Clock) -> None:
        self._attempts = attempts
        self._dispatcher = dispatcher
        self._reconciler = reconciler
        self._clock = clock

    def get_progress(self, task_id: str) -> TaskProgressView:
        """Return the progress of a task. Raise TaskNotFound."""
        task, attempts = self._attempts.with_summary(task_id)
        reason = self._dispatcher.why_waiting(task)
        return show_progress_of(task, attempts, self.live(task, attempts), self._clock.now(), reason)

    def live(self, task: TaskSummary, attempts: Sequence[Attempt]) -> ProgressReport | None:
        """Return the progress known to the watch of the latest attempt, or None if this server does not watch it."""
        watch = self._reconciler.get_watch(attempts[-1].uid) if attempts and task.status.is_active else None
        return None if watch is None else watch.show()
