"""Checks of running attempts: checkpoints, caches, GPUs and hangs."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.progress import Progress, Stage
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import EventKind, StopState, TaskStatus, TaskSummary
from api.gpus.offers import find_lost, is_shared, measure_memory
from api.gpus.service import GPUService
from api.trainers.failures.endings import NAN_IN_A_ROW
from api.trainers.protocol.caching import has_ended_caching
from api.trainers.protocol.error_lines import find_errors
from api.trainers.trainer import Ending
from api.training.attempts.watch.watch import AttemptWatch
from api.training.records.attempt_store import AttemptStore
from api.training.records.task_store import TaskStore
from api.util.clock import Clock
from api.util.text.formatting import as_sentence

logger = logging.getLogger(__name__)

#: Kinds of tasks that save checkpoints.
RETAINED = (TaskType.TRAINING, TaskType.REHEARSAL)

#: Stages with an event. Evaluating and saving are too frequent.
_STAGES = {
    Stage.LOADING: Reason.of("loading the model", "stage_loading"),
    Stage.CACHING: Reason.of("caching the dataset", "stage_caching"),
    Stage.TRAINING: Reason.of("training", "stage_training"),
}

#: Number of lines shown with a warning or a cause.
SHOWN_LINES = 20


#: Multiples of the usual and of the longest step after which a training hangs. The first step after an evaluation
#: compiles, moves memory, or waits for the disk.
USUAL_STEPS = 20.0
LONGEST_STEPS = 3.0

#: A step that takes 5 times the usual one, twice the longest, and 20 s makes the pace unknown, long before the training
#: counts as hanging.
STALLED_STEPS = 5.0
STALLED_LONGEST = 2.0
STALLED_SECONDS = 20.0

#: Seconds without output after an error while caching: the trainer's main process then waits forever for the cache.
AFTER_ERROR_SECONDS = 60.0


_HANG_REASONS = {
    Stage.LOADING: Reason.of("loading", "while_loading"),
    Stage.CACHING: Reason.of("caching", "while_caching"),
    Stage.EVALUATING: Reason.of("evaluating", "while_evaluating"),
    Stage.SAVING: Reason.of("saving", "while_saving"),
}


@dataclass(frozen=True, slots=True)
class HangLimits:
    """Limits in seconds.

    `step` is the minimum limit of a step. `quiet` applies to stages without steps: loading, caching, evaluating,
    saving.
    """

    step: float = 300.0
    quiet: float = 1800.0
    rehearsal: float = 1800.0  #: of a whole rehearsal


def describe_hang(progress: Progress, started_at: float, now: float, limits: HangLimits) -> Reason | None:
    """Return why this training counts as hanging, or None. Times in Unix seconds."""
    if progress.stage is Stage.TRAINING:
        return _without_step(progress, started_at, now, limits)
    since = max(progress.last_line_at or started_at, progress.stage_since or started_at)
    if now - since > limits.quiet:
        return Reason.of(
            "it is {stage} and has printed nothing for {seconds} s (the limit is {bound} s)",
            "says_nothing",
            stage=_HANG_REASONS[progress.stage],
            seconds=round(now - since),
            bound=round(limits.quiet),
        )
    return None


def has_failed_while_caching(progress: Progress, last_lines: Sequence[str], now: float, limits: HangLimits) -> bool:
    """Return whether an error ended the caching, although the trainer still runs. Times in Unix seconds."""
    is_quiet = progress.last_line_at is not None and now - progress.last_line_at > min(
        AFTER_ERROR_SECONDS, limits.quiet
    )
    return progress.stage is Stage.CACHING and is_quiet and has_ended_caching(last_lines)


def is_stalled(progress: Progress, started_at: float, now: float, limits: HangLimits) -> bool:
    """Return whether its pace is unknown because steps have stopped or it hangs."""
    if progress.stage is not Stage.TRAINING:
        return describe_hang(progress, started_at, now, limits) is not None
    usual, longest = progress.seconds_per_step or 0.0, progress.longest_step or 0.0
    bound = max(STALLED_SECONDS, STALLED_STEPS * usual, STALLED_LONGEST * longest)
    return now - _last_step_at(progress, started_at) > min(bound, _step_bound(progress, limits))


def _step_bound(progress: Progress, limits: HangLimits) -> float:
    bound = max(
        limits.step,
        USUAL_STEPS * (progress.seconds_per_step or 0.0),
        LONGEST_STEPS * (progress.longest_step or 0.0),
    )
    # The first step compiles and fills caches.
    return max(bound, limits.quiet) if progress.seconds_per_step is None else bound


def _last_step_at(progress: Progress, started_at: float) -> float:
    return max(progress.last_step_at or started_at, progress.stage_since or started_at)


def _without_step(progress: Progress, started_at: float, now: float, limits: HangLimits) -> Reason | None:
    bound, since = _step_bound(progress, limits), _last_step_at(progress, started_at)
    if now - since <= bound:
        return None
    seconds, limit = round(now - since), round(bound)
    if progress.seconds_per_step is None:
        return Reason.of("no step for {seconds} s (the limit is {bound} s)", "no_step", seconds=seconds, bound=limit)
    return Reason.of(
        "no step for {seconds} s, where {usual} s is usual (the limit is {bound} s)",
        "no_step_where_usual",
        seconds=seconds,
        usual=f"{progress.seconds_per_step:.1f}",
        bound=limit,
    )


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
        retain: Callable[[str], object] = lambda task_id: None,
    ) -> None:
        """Create the checks. `retain` deletes what the rule of a training does not keep.

        With `has_own_pids`, this service has its own pid namespace, so the driver's pids are useless.
        """
        self._has_own_pids = has_own_pids
        self._retain = retain
        self._tasks = tasks
        self._attempts = attempts
        self._gpus = gpus
        self._clock = clock
        self.hang_limits = hang_limits  #: may change at run time

    def check(self, task: TaskSummary, watch: AttemptWatch) -> None:
        """Record what needs attention as events, and stop attempts that cannot continue."""
        self._note_run_dir(watch)
        self._note_stage(watch)
        self._check_checkpoints(watch)
        self._release_caches(watch)
        self._measure_memory(watch)
        now = self._clock.now().timestamp()
        watch.set_stalled(is_stalled(watch.progress, watch.began_at, now, self.hang_limits))
        if task.status is not TaskStatus.STOPPING:
            self._check_gpus(task, watch)
            self._check_rehearsal(task, watch)
            if not self._end_failed_caching(task, watch):
                self._check_hang_and_losses(task, watch)

    def _note_run_dir(self, watch: AttemptWatch) -> None:
        if watch.run_dir is not None and not watch.run_dir_is_noted:
            self._attempts.record(watch.attempt, run_dir=str(watch.run_dir))
            watch.run_dir_is_noted = True

    def _note_stage(self, watch: AttemptWatch) -> None:
        stage = watch.progress.stage if watch.progress.stage in _STAGES else Stage.TRAINING
        is_trainer = watch.task.kind in (TaskType.TRAINING, TaskType.CACHE, TaskType.REHEARSAL)
        if not is_trainer and watch.task.plan.export is None:
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
            self._tasks.record_checkpoint(watch.attempt, found.name, self._clock.now())
        if fresh:
            # Saved so that a restarted service does not repeat the events.
            watch.save()
        if watch.progress.stage is not Stage.SAVING and watch.task.kind in RETAINED:
            try:
                self._retain(watch.attempt.task_id)
            except OSError as error:
                # The next check retries.
                logger.warning("cannot delete what no rule keeps: %s", error)

    def _release_caches(self, watch: AttemptWatch) -> None:
        """Release the caches when the attempt trains. They are complete then, and other tasks may write."""
        if not watch.has_filled_caches and watch.progress.first_step is not None:
            if watch.task.caches:
                self._attempts.release_cache(watch.attempt)
            watch.has_filled_caches = True

    def _measure_memory(self, watch: AttemptWatch) -> None:
        if watch.task.kind is TaskType.REHEARSAL:
            # It may end between two readings.
            self._gpus.sweep_soon()
        used = measure_memory(self._gpus.state, watch.attempt.gpu_uuids)
        if not used:
            return
        watch.peaks = {uuid: max(watch.peaks.get(uuid, 0), used.get(uuid, 0)) for uuid in watch.peaks | used}
        watch.peak_memory_mb = max(watch.peak_memory_mb or 0, *used.values())
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

    def _check_rehearsal(self, task: TaskSummary, watch: AttemptWatch) -> None:
        limit = self.hang_limits.rehearsal
        if watch.task.kind is TaskType.REHEARSAL and watch.seconds > limit:
            cause = Cause.of(
                CauseCode.TIME_LIMIT,
                "rehearsal_time_limit",
                "The rehearsal had not ended after {seconds} s, its time limit.",
                "Look at its log for what took the time: loading, caching, or the steps. If that is usual for this "
                "model, raise REHEARSAL_SECONDS, or start the training without a rehearsal.",
                _last_lines(watch),
                seconds=round(limit),
            )
            self._stop(task, cause, force=True)

    def _end_failed_caching(self, task: TaskSummary, watch: AttemptWatch) -> bool:
        """Stop an attempt whose caching has failed, with the error as its cause. Return whether it has failed."""
        now = self._clock.now().timestamp()
        has_failed = has_failed_while_caching(watch.progress, watch.last_lines, now, self.hang_limits)
        if has_failed:
            ending = Ending(None, None, stop_requested=False, phrases=frozenset(), last_lines=tuple(watch.last_lines))
            self._stop(task, watch.trainer.diagnose(ending), force=False)
        return has_failed

    def _check_hang_and_losses(self, task: TaskSummary, watch: AttemptWatch) -> None:
        now, uid = self._clock.now(), watch.attempt.uid
        hang = describe_hang(watch.progress, watch.began_at, now.timestamp(), self.hang_limits)
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
    """Return the last lines as the log page shows them: with the message of a line that is JSON."""
    classifier = watch.trainer.create_classifier(None)
    return tuple(classifier.read(line).shown or line for line in tuple(watch.last_lines)[-SHOWN_LINES:])
