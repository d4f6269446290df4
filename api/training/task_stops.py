"""Asks tasks to stop, whatever their kind."""

from collections.abc import Callable
from dataclasses import replace

from api.domain.progress import LISTENING_STAGES, NOTHING_YET
from api.domain.training import StopRung, StopState, TaskStatus, TaskSummary
from api.errors import Conflict, TaskNotStoppable
from api.training.attempt_store import AttemptStore
from api.training.attempts.reconciler import Reconciler
from api.training.attempts.stop_wishes import ASKED, ASKED_AT_ONCE, StopWishes, Wish
from api.training.attempts.watch import AttemptWatch
from api.training.store import TaskStore
from api.training.task_progress import ProgressAnswers
from api.util.clock import Clock


class TaskStops:
    """The stops of tasks. `wake` makes the training loop look at once."""

    def __init__(
        self,
        tasks: TaskStore,
        attempts: AttemptStore,
        progress: ProgressAnswers,
        reconciler: Reconciler,
        clock: Clock,
        wishes: StopWishes,
        wake: Callable[[], None],
    ) -> None:
        self._tasks = tasks
        self._attempts = attempts
        self._progress = progress
        self._reconciler = reconciler
        self._clock = clock
        self._wishes = wishes
        self._wake = wake

    def ask(self, task_id: str, force: bool, timeout_seconds: float | None, actor: str) -> AttemptWatch | None:
        """Asks a task to stop; one that was stopped stays as it is. The watch over its attempt where the order was
        passed on although the database cannot be used, else None. Raises TaskNotFound, TaskNotStoppable.
        """
        stop = StopState(self._clock.now(), actor, force, timeout_seconds, StopRung.TERMINATE)
        wish = Wish(stop, ASKED_AT_ONCE if force else ASKED, "")
        watch = self._wishes.record(lambda: self._note(task_id, wish), task_id, wish, self._reconciler)
        self._wake()
        return watch

    def _note(self, task_id: str, wish: Wish) -> None:
        task, stop = self._tasks.get_summary(task_id), wish.stop
        if task.status is TaskStatus.STOPPED:
            return
        if task.status.is_finished:
            raise TaskNotStoppable(f"{task_id} is {task.status} already.", data={"status": task.status})
        try:
            stop = replace(stop, rung=self._first_rung(task, stop.force))
            self._tasks.request_stop(task_id, stop, stop.requested_at, wish.message)
        except Conflict:
            # It has finished in this moment.
            raise TaskNotStoppable(f"{task_id} has finished.") from None

    def _first_rung(self, task: TaskSummary, force: bool) -> StopRung:
        """The rung that a stop will begin with, as far as that can be told now."""
        attempts = self._attempts.of_task(task.task_id)
        live = self._progress.live(task, attempts) or task.progress or NOTHING_YET
        listens = live.progress.stage in LISTENING_STAGES
        return StopRung.CHECKPOINT if listens and not force else StopRung.TERMINATE
