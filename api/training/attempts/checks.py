"""Checks of running attempts: checkpoints, caches, GPUs and hangs."""

from api.domain.cause import Cause, CauseCode
from api.domain.progress import Stage
from api.domain.reason import Reason, ReasonOrText
from api.domain.task import TaskType
from api.domain.training import EventKind, StopState, TaskStatus, TaskSummary
from api.gpus.offers import find_lost, is_shared, measure_memory
from api.gpus.service import GPUService
from api.trainers.protocol.diagnosis import NAN_IN_A_ROW
from api.trainers.protocol.error_lines import find_errors
from api.training.attempt_store import AttemptStore
from api.training.attempts.hangs import HangLimits, describe_hang, is_stalled
from api.training.attempts.pruning import prune_checkpoints
from api.training.attempts.watch import AttemptWatch
from api.training.store import TaskStore
from api.util.clock import Clock
from api.util.formatting import as_sentence

#: Stages with an event. Evaluating and saving are too frequent.
_STAGES = {
    Stage.LOADING: Reason.of("loading the model", "stage_loading"),
    Stage.CACHING: Reason.of("caching the dataset", "stage_caching"),
    Stage.TRAINING: Reason.of("training", "stage_training"),
}

#: Number of lines shown with a warning or a cause.
SHOWN_LINES = 20


class AttemptChecks:
    """Checks a running attempt once per tick."""

    def __init__(
        self,
        tasks: TaskStore,
        attempts: AttemptStore,
        gpus: GPUService,
        clock: Clock,
        hang_limits: HangLimits,
        has_own_pids: bool = False,
    ) -> None:
        """Create the checks.

        With `has_own_pids`, this service has its own pid namespace, so the driver's pids are useless.
        """
        self._has_own_pids = has_own_pids
        self._tasks = tasks
        self._attempts = attempts
        self._gpus = gpus
        self._clock = clock
        self._hang_limits = hang_limits

    def check(self, task: TaskSummary, watch: AttemptWatch) -> None:
        """Record what needs attention as events, and stop attempts that cannot continue."""
        self._note_run_dir(watch)
        self._note_stage(watch)
        self._check_checkpoints(watch)
        self._release_caches(watch)
        self._measure_memory(watch)
        now = self._clock.now().timestamp()
        watch.set_stalled(is_stalled(watch.progress, watch.began_at, now, self._hang_limits))
        if task.status is not TaskStatus.STOPPING:
            self._check_gpus(task, watch)
            self._check_hang_and_losses(task, watch)

    def _note_run_dir(self, watch: AttemptWatch) -> None:
        if watch.run_dir is not None and not watch.run_dir_is_noted:
            self._attempts.note(watch.attempt, run_dir=str(watch.run_dir))
            watch.run_dir_is_noted = True

    def _note_stage(self, watch: AttemptWatch) -> None:
        stage = watch.progress.stage if watch.progress.stage in _STAGES else Stage.TRAINING
        if watch.task.kind not in (TaskType.TRAINING, TaskType.CACHE):
            # Other kinds have their own stages, shown in the log.
            return
        if stage is watch.noted_stage:
            return
        self._tasks.add_event(
            watch.attempt.task_id,
            EventKind.STAGE,
            self._clock.now(),
            "trainer",
            _STAGES[stage],
            watch.attempt.uid,
            previous=watch.noted_stage,
            current=stage,
        )
        watch.noted_stage = stage
        # Saved so that a restarted service does not repeat the event.
        watch.save()

    def _check_checkpoints(self, watch: AttemptWatch) -> None:
        if not watch.checkpoints_are_due():
            return
        fresh = watch.find_new_checkpoints()
        for found in fresh if watch.task.kind is TaskType.TRAINING else ():
            self._tasks.note_checkpoint(watch.attempt, found.name, self._clock.now())
        if fresh:
            # Saved so that a restarted service does not repeat the events.
            watch.save()
        if watch.progress.stage is not Stage.SAVING:
            prune_checkpoints(self._tasks, watch, self._clock.now())

    def _release_caches(self, watch: AttemptWatch) -> None:
        """Release the caches when the attempt trains. They are complete then, and other tasks may write."""
        if not watch.has_filled_caches and watch.progress.first_step is not None:
            if watch.task.caches:
                self._attempts.release_cache(watch.attempt)
            watch.has_filled_caches = True

    def _measure_memory(self, watch: AttemptWatch) -> None:
        used = measure_memory(self._gpus.state, watch.attempt.gpu_uuids)
        if used is None:
            return
        watch.peak_memory_mb = max(watch.peak_memory_mb or 0, used)
        watch.was_measured_training |= watch.progress.first_step is not None
        if not watch.shares_gpus and is_shared(self._gpus.state, watch.attempt.gpu_uuids, self._has_own_pids):
            watch.shares_gpus = True

    def _check_gpus(self, task: TaskSummary, watch: AttemptWatch) -> None:
        lost = list(find_lost(self._gpus.state, watch.attempt.gpu_uuids).values())
        if lost:
            cause = Cause.of(
                CauseCode.GPU_LOST,
                "gpu_lost_here",
                "A GPU that it ran on is lost: {why}.",
                "Reset the GPU or reboot the machine, then resume it. The last complete checkpoint is still there.",
                _last_lines(watch),
                why=lost[0],
            )
            self._stop(task, cause, force=True)

    def _check_hang_and_losses(self, task: TaskSummary, watch: AttemptWatch) -> None:
        now, uid = self._clock.now(), watch.attempt.uid
        hang = describe_hang(watch.progress, watch.began_at, now.timestamp(), self._hang_limits)
        warning = None
        if hang is not None:
            warning = Reason.of("It seems to hang: {hang}.{last}", "hangs", hang=hang, last=_last_error(watch))
        elif watch.progress.nan_in_a_row >= NAN_IN_A_ROW:
            warning = Reason.of(
                "At least its last {losses} losses were NaN: an earlier checkpoint is better than later ones.",
                "nan_losses",
                losses=NAN_IN_A_ROW,
            )
        # Compared with the task's stored warning, so that it is set once and cleared even after a restart.
        if (task.warning_code and task.warning_code.code) != (warning and warning.said.code):
            self._tasks.set_warning(task.task_id, uid, warning, now, last_lines=_last_lines(watch))
        if hang is not None and watch.request.stop_on_hang:
            cause = Cause.of(
                CauseCode.HANG,
                "hang",
                "It hung: {hang}.{last}",
                "Read the last lines. An error while caching makes the trainer hang. Then resume or restart it.",
                _last_lines(watch),
                hang=hang,
                last=_last_error(watch),
            )
            self._stop(task, cause, force=False)

    def _stop(self, task: TaskSummary, cause: Cause, force: bool) -> None:
        now = self._clock.now()
        stop = StopState(requested_at=now, actor="service", force=force, timeout_seconds=None, cause=cause)
        self._tasks.request_stop(task.task_id, stop, now, cause.message)


def _last_error(watch: AttemptWatch) -> ReasonOrText:
    """Return the last error in the output. A trainer that cannot build its cache prints a traceback and hangs."""
    errors = [error.text for error in find_errors(watch.last_lines) if error.exception is not None]
    return Reason.of(" Its last error: {error}", "last_error", error=as_sentence(errors[-1])) if errors else ""


def _last_lines(watch: AttemptWatch) -> tuple[str, ...]:
    return tuple(watch.last_lines)[-SHOWN_LINES:]
