"""What is looked at while an attempt runs: its checkpoints, caches, GPUs, and whether it hangs."""

from api.models.training import Cause, CauseCode, Stage, StopState, TaskStatus, TaskSummary
from api.services.attempt_watch import AttemptWatch
from api.services.checkpoint_pruning import prune_checkpoints
from api.services.gpu_service import GPUService
from api.services.gpu_supply import find_lost, measure_memory
from api.services.hangs import HangLimits, describe_hang
from api.storage.attempts import AttemptStore
from api.storage.tasks import TaskStore
from api.utils.clock import Clock

#: Lines shown with a warning or a cause.
SHOWN_LINES = 20


class AttemptChecks:
    """One look at a running attempt, once a tick."""

    def __init__(
        self, tasks: TaskStore, attempts: AttemptStore, gpus: GPUService, clock: Clock, hang_limits: HangLimits
    ) -> None:
        self._tasks = tasks
        self._attempts = attempts
        self._gpus = gpus
        self._clock = clock
        self._hang_limits = hang_limits

    def check(self, task: TaskSummary, watch: AttemptWatch) -> None:
        """Everything that needs attention becomes an event; what cannot go on is stopped."""
        self._note_run_dir(watch)
        self._look_at_checkpoints(watch)
        self._give_caches_up(watch)
        self._measure_memory(watch)
        if task.status is not TaskStatus.STOPPING:
            self._look_at_gpus(task, watch)
            self._look_for_hang(task, watch)

    def _note_run_dir(self, watch: AttemptWatch) -> None:
        if watch.run_dir is not None and not watch.run_dir_is_noted:
            self._attempts.note(watch.attempt, run_dir=str(watch.run_dir))
            watch.run_dir_is_noted = True

    def _look_at_checkpoints(self, watch: AttemptWatch) -> None:
        if not watch.checkpoints_are_due():
            return
        for found in watch.look_for_checkpoints():
            self._tasks.note_checkpoint(watch.attempt, found.name, self._clock.now())
        if watch.progress.stage is not Stage.SAVING:
            prune_checkpoints(self._tasks, watch, self._clock.now())

    def _give_caches_up(self, watch: AttemptWatch) -> None:
        """Once it trains, others may write the caches that it has filled."""
        if not watch.has_filled_caches and watch.progress.first_step is not None:
            self._attempts.release_cache(watch.attempt)
            watch.has_filled_caches = True

    def _measure_memory(self, watch: AttemptWatch) -> None:
        used = measure_memory(self._gpus.state, watch.attempt.gpu_uuids)
        if used is not None:
            watch.peak_memory_mb = max(watch.peak_memory_mb or 0, used)

    def _look_at_gpus(self, task: TaskSummary, watch: AttemptWatch) -> None:
        lost = [why for uuid, why in find_lost(self._gpus.state).items() if uuid in watch.attempt.gpu_uuids]
        if lost:
            remedy = "Reset the GPU or reboot the machine, then resume it; the last complete checkpoint is kept."
            detail = f"A GPU that it ran on is lost: {lost[0]}."
            self._stop(task, Cause(CauseCode.GPU_LOST, detail, remedy, _last_lines(watch)), force=True)

    def _look_for_hang(self, task: TaskSummary, watch: AttemptWatch) -> None:
        now, uid = self._clock.now(), watch.attempt.uid
        started = watch.attempt.started_at or watch.attempt.created_at
        reason = describe_hang(watch.progress, started.timestamp(), now.timestamp(), self._hang_limits)
        if reason is None:
            if watch.is_warned:
                self._tasks.set_warning(task.task_id, uid, None, now)
            watch.is_warned = False
            return
        if watch.is_warned:
            return
        watch.is_warned = True
        lines = _last_lines(watch)
        self._tasks.set_warning(task.task_id, uid, f"It seems to hang: {reason}.", now, last_lines=lines)
        if watch.request.stop_on_hang:
            remedy = (
                "Read the last lines (an error while caching hangs the trainer for ever), then resume or restart it."
            )
            self._stop(task, Cause(CauseCode.HANG, f"It hung: {reason}.", remedy, lines), force=False)

    def _stop(self, task: TaskSummary, cause: Cause, force: bool) -> None:
        now = self._clock.now()
        stop = StopState(requested_at=now, actor="service", force=force, timeout_seconds=None, cause=cause)
        self._tasks.request_stop(task.task_id, stop, now, cause.detail)


def _last_lines(watch: AttemptWatch) -> tuple[str, ...]:
    return tuple(watch.last_lines)[-SHOWN_LINES:]
