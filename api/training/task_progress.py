"""How far tasks are, whatever their kind: by the watch over the attempt, else by what the database keeps."""

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
    """Answers how far a task is. Any thread may ask."""

    def __init__(self, attempts: AttemptStore, dispatcher: Dispatcher, reconciler: Reconciler, clock: Clock) -> None:
        self._attempts = attempts
        self._dispatcher = dispatcher
        self._reconciler = reconciler
        self._clock = clock

    def get_progress(self, task_id: str) -> TaskProgressView:
        """How far a task is. Raises TaskNotFound."""
        task, attempts = self._attempts.with_summary(task_id)
        reason = self._dispatcher.why_waiting(task)
        return show_progress_of(task, attempts, self.live(task, attempts), self._clock.now(), reason)

    def live(self, task: TaskSummary, attempts: Sequence[Attempt]) -> ProgressReport | None:
        """What the watch over its latest attempt knows; None where none watches here."""
        watch = self._reconciler.get_watch(attempts[-1].uid) if attempts and task.status.is_active else None
        return None if watch is None else watch.show()
