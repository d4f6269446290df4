"""Requests to stop tasks of any kind."""

from collections.abc import Callable
from dataclasses import replace

from api.domain.progress import LISTENING_STAGES, NO_PROGRESS
from api.domain.training import StopRung, StopState, TaskStatus, TaskSummary
from api.errors import Conflict, TaskNotStoppable
from api.training.attempt_store import AttemptStore
from api.training.attempts.pending_stops import STOP_NOW_REQUESTED, STOP_REQUESTED, PendingStop, PendingStops
from api.training.attempts.reconciler import Reconciler
from api.training.attempts.watch import AttemptWatch
from api.training.store import TaskStore
from api.training.task_progress import ProgressAnswers
from api.util.clock import Clock


class TaskStops:
    """Stops tasks. `wake` triggers the training loop immediately."""

    def __init__(
        self,
        tasks: TaskStore,
        attempts: AttemptStore,
        progress: ProgressAnswers,
        reconciler: Reconciler,
        clock: Clock,
        pending_stops: PendingStops,
        wake: Callable[[], None],
    ) -> None:
        self._tasks = tasks
        self._attempts = attempts
        self._progress = progress
        self._reconciler = reconciler
        self._clock = clock
        self._pending_stops = pending_stops
        self._wake = wake

    def request_stop(
        self, task_id: str, force: bool, timeout_seconds: float | None, actor: str, keep_lora: bool = False
    ) -> AttemptWatch | None:
        """Request a stop, with `keep_lora` followed by an export. A stopped task stays unchanged.

        Raise TaskNotFound or TaskNotStoppable.
        Return the watch of its attempt if the stop was passed on although the database is unavailable, else None.
        """
        stop = StopState(self._clock.now(), actor, force, timeout_seconds, StopRung.TERMINATE, keep_lora=keep_lora)
        pending = PendingStop(stop, STOP_NOW_REQUESTED if force else STOP_REQUESTED, "")
        watch = self._pending_stops.record(lambda: self._note(task_id, pending), task_id, pending, self._reconciler)
        self._wake()
        return watch

    def _note(self, task_id: str, pending: PendingStop) -> None:
        task, stop = self._tasks.get_summary(task_id), pending.stop
        if task.status is TaskStatus.STOPPED:
            return
        if task.status.is_finished:
            raise TaskNotStoppable(f"{task_id} is {task.status} already.", data={"status": task.status})
        try:
            stop = replace(stop, rung=self._first_rung(task, stop.force))
            self._tasks.request_stop(task_id, stop, stop.requested_at, pending.message)
        except Conflict:
            # It finished in the meantime.
            raise TaskNotStoppable(f"{task_id} has finished.") from None

    def _first_rung(self, task: TaskSummary, force: bool) -> StopRung:
        """Return the first step of a stop, as far as it is known now."""
        attempts = self._attempts.of_task(task.task_id)
        live = self._progress.live(task, attempts) or task.progress or NO_PROGRESS
        listens = live.progress.stage in LISTENING_STAGES
        return StopRung.CHECKPOINT if listens and not force else StopRung.TERMINATE
