"""Verdicts on ended attempts, from the trainer's messages, its exit and its checkpoints."""

import errno
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from api.domain.reason import Reason, ReasonOrText, text_of
from api.domain.tasks.cause import MADE_ROOM, RETRIED_BY_DEFAULT, RETRIED_BY_ITSELF, Cause, CauseCode
from api.domain.tasks.progress import Progress
from api.domain.tasks.training import Checkpoint, StopRung, StopState, TaskStatus, TaskSummary, TrainingRequest
from api.executors.executor import EngineRejected, Outcome
from api.trainers.protocol.error_lines import find_errors
from api.trainers.trainer import Ending, Trainer


class CannotStart(Exception):
    """An attempt cannot be started, with the reason, and the cause if it has a remedy of its own."""

    def __init__(self, reason: ReasonOrText, cause: Cause | None = None) -> None:
        super().__init__(text_of(reason))
        self.reason = reason
        self.cause = cause


#: Seconds before a retry, doubled with each consecutive retry up to the limit.
FIRST_WAIT = 5.0
LONGEST_WAIT = 300.0

#: Errors of a temporary lack of resources, after which the next start may succeed.
TEMPORARY = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR}
    | {errno.EBUSY, errno.ETXTBSY, errno.ESTALE, errno.ETIMEDOUT}
)

#: Number of consecutive starts after a temporary error, with growing waits of five minutes in total.
TEMPORARY_TRIES = 6

_ONLY_NAN = Cause.of(
    CauseCode.NAN_LOSS,
    "only_nan",
    "It made all its steps, but every loss was NaN, so it has learnt nothing.",
    "Restart it from scratch, not from a checkpoint: with a lower learning rate, with dtype bfloat16 instead of "
    "float16 or float8, or after checking the dataset. Its saved models are useless.",
)

STOPPED_BEFORE_START = Reason.of("stopped before its start", "stopped_before_start")


@dataclass(frozen=True, slots=True)
class AttemptVerdict:
    """How an attempt ended, and the cause if it failed."""

    status: TaskStatus
    message: ReasonOrText
    cause: Cause | None = None
    is_temporary: bool = False  #: a start that failed for a possibly temporary reason


@dataclass(frozen=True, slots=True)
class NextTry:
    """A retry in `wait` seconds. `counts`: whether it uses up one of max_retries."""

    wait: float
    counts: bool


def judge_outcome(
    outcome: Outcome,
    trainer: Trainer,
    stop: StopState | None,
    progress: Progress,
    last_lines: Sequence[str],
    checkpoints: Sequence[Checkpoint],
) -> AttemptVerdict:
    """Return the verdict on an ended attempt. `checkpoints` are those of its run directory.

    The trainer prints both phrases after saving a checkpoint of the last step, so they do not count without one.
    """
    printed = outcome.phrases | progress.phrases
    phrases: frozenset[str] = printed if _has_last_checkpoint(outcome, progress, checkpoints) else frozenset()
    if trainer.completed_phrase in phrases and _ended_well(outcome, progress):
        if _has_only_nan(progress):
            return AttemptVerdict(TaskStatus.FAILED, _ONLY_NAN.message, _ONLY_NAN)
        message = Reason.of('the trainer said "{phrase}"', "said_complete", phrase=trainer.completed_phrase)
        return AttemptVerdict(TaskStatus.COMPLETED, message)
    stopped = None if stop is None else _judge_stop(outcome, trainer, stop, printed, phrases)
    if stopped is not None:
        return stopped
    cause = _cause(outcome, trainer, stop, progress, last_lines, phrases)
    if cause.code is CauseCode.DID_NOT_TRAIN and trainer.completed_phrase in printed:
        detail = Reason.of(
            'It printed "{phrase}", but left no checkpoint of its last step.',
            "no_last_checkpoint_detail",
            phrase=trainer.completed_phrase,
        )
        cause = replace(cause, detail=detail.text, detail_code=detail.said)
    return AttemptVerdict(TaskStatus.FAILED, cause.message, cause, outcome.error_number in TEMPORARY)


def judge_caching(
    outcome: Outcome, trainer: Trainer, stop: StopState | None, progress: Progress, last_lines: Sequence[str]
) -> AttemptVerdict:
    """Return the verdict on an attempt that only builds a cache.

    The trainer prints nothing at the end, so the exit code decides. The result collector checks the cache itself.
    """
    was_stopped_by_service = stop is not None and stop.cause is not None
    if outcome.exit_code == 0 and outcome.signal is None and not was_stopped_by_service:
        message = Reason.of("the trainer ended with exit code 0", "caching_ended")
        return AttemptVerdict(TaskStatus.COMPLETED, message)
    return judge_outcome(outcome, trainer, stop, progress, last_lines, ())


def stopped_before_start(stop: StopState | None) -> AttemptVerdict:
    """Return the verdict on an attempt that was stopped before its start. One that made room is queued again."""
    if stop is not None and stop.cause is not None:
        return AttemptVerdict(TaskStatus.FAILED, stop.cause.message, stop.cause)
    return AttemptVerdict(TaskStatus.STOPPED, STOPPED_BEFORE_START)


def could_not_start(error: Exception) -> AttemptVerdict:
    """Return the verdict on an attempt whose supervisor could not be started."""
    if isinstance(error, EngineRejected):
        never = Cause.of(
            CauseCode.COULD_NOT_START,
            "over_engine_limit",
            "The cluster will never accept it, because of a limit of its user, account or QOS ({why}).",
            "Request fewer GPUs, reduce time_limit, cpus_per_gpu or memory_per_gpu, or use another account or qos.",
            why=error.strerror or str(error),
        )
        return AttemptVerdict(TaskStatus.FAILED, never.message, never)
    if isinstance(error, CannotStart) and error.cause is not None:
        return AttemptVerdict(TaskStatus.FAILED, error.cause.message, error.cause)
    reason = error if isinstance(error, OSError) else error.__cause__
    cause = Cause.of(
        CauseCode.COULD_NOT_START,
        "attempt_not_started",
        "The attempt could not be started: {why}.",
        "Fix the cause. Then resume or restart it.",
        why=error.reason if isinstance(error, CannotStart) else str(error),
    )
    return AttemptVerdict(
        TaskStatus.FAILED, cause.message, cause, isinstance(reason, OSError) and reason.errno in TEMPORARY
    )


def _has_last_checkpoint(outcome: Outcome, progress: Progress, checkpoints: Sequence[Checkpoint]) -> bool:
    """Return whether the attempt made steps and left a complete checkpoint of its last printed one, or a later one."""
    steps = [step for step in (progress.step, outcome.last_step) if step is not None]
    return any(one.is_complete and steps and (one.step is None or one.step >= max(steps)) for one in checkpoints)


def _has_only_nan(progress: Progress) -> bool:
    """Return whether all losses were NaN. A resumed training may have had better losses in other attempts."""
    return progress.first_step == 1 and progress.nan_steps > 0 and progress.best_loss is None


def _ended_well(outcome: Outcome, progress: Progress) -> bool:
    """Return whether the exit fits a completed training. A process may crash at the very end, after all steps."""
    if outcome.exit_code == 0:
        return True
    if outcome.exit_code is None and outcome.signal is None:
        return progress.total_steps is None or (progress.step or 0) >= progress.total_steps
    return progress.step is not None and progress.step >= (progress.total_steps or math.inf)


def _judge_stop(
    outcome: Outcome, trainer: Trainer, stop: StopState, printed: frozenset[str], phrases: frozenset[str]
) -> AttemptVerdict | None:
    """Return the verdict on a stop, or None if the attempt ended by itself in the meantime."""
    if stop.cause is not None:
        return AttemptVerdict(TaskStatus.FAILED, stop.cause.message, stop.cause)
    if trainer.stopped_phrase in phrases:
        return AttemptVerdict(TaskStatus.STOPPED, Reason.of("stopped with a checkpoint", "stopped_with_checkpoint"))
    if outcome.reason == "stopped_before_start":
        return AttemptVerdict(TaskStatus.STOPPED, STOPPED_BEFORE_START)
    if outcome.stop_rung in (StopRung.TERMINATE, StopRung.KILL):
        name = "SIGTERM" if outcome.stop_rung is StopRung.TERMINATE else "SIGKILL"
        message = Reason.of("stopped by {signal}, without a new checkpoint", "stopped_by", signal=name)
        return AttemptVerdict(TaskStatus.STOPPED, message)
    if trainer.stopped_phrase in printed and outcome.exit_code == 0:
        message = Reason.of("it quit as requested, but left no checkpoint of its last step", "quit_without")
        return AttemptVerdict(TaskStatus.STOPPED, message)
    return None


def _cause_by_reason(outcome: Outcome) -> Cause | None:
    """Return the cause if the outcome's reason alone determines it, else None."""
    if outcome.reason == "machine_restarted":
        return Cause.of(
            CauseCode.MACHINE_RESTARTED,
            "machine_restarted",
            "The machine was restarted while it ran.",
            "It is retried automatically. Resume it if the retries fail.",
        )
    return _cause_of_failed_start(outcome) if outcome.reason == "could_not_start" else _cause_of_cluster(outcome)


def _cause_of_cluster(outcome: Outcome) -> Cause | None:
    """Return the cause if a cluster ended the attempt, else None."""
    why = outcome.error or ""
    if outcome.reason == "node_lost":
        return Cause.of(
            CauseCode.NODE_LOST,
            "node_lost",
            "The machine that it ran on was lost: {why}.",
            "It is retried automatically, on another node if there is one. Check the lost node.",
            why=why,
        )
    if outcome.reason == "preempted":
        return Cause.of(
            CauseCode.PREEMPTED,
            "preempted",
            "The cluster gave its GPUs to a job of higher priority: {why}.",
            "It continues automatically from its last checkpoint when GPUs are free.",
            why=why,
        )
    if outcome.reason == "time_limit":
        return Cause.of(
            CauseCode.TIME_LIMIT,
            "time_limit",
            "It reached the cluster's time limit: {why}.",
            "It continues automatically from its last checkpoint, as long as it makes progress. Set "
            "`slurm.time_limit` for more time, as far as its partition allows.",
            why=why,
        )
    return _cause_of_cluster_fault(outcome.reason, why)


def _cause_of_cluster_fault(reason: str, why: str) -> Cause | None:
    """Return the cause if the cluster failed, else None."""
    if reason == "job_cancelled":
        return Cause.of(
            CauseCode.JOB_CANCELLED,
            "job_cancelled",
            "{why}.",
            "Ask the cluster's administrator for the reason. Then resume it from its last checkpoint.",
            why=why,
        )
    if reason == "job_lost":
        return Cause.of(
            CauseCode.JOB_LOST,
            "job_lost",
            "The cluster's controller lost track of the job and ended it: {why}.",
            "It continues automatically from its last checkpoint. Find out why the controller was restarted.",
            why=why,
        )
    if reason == "storage_unseen":
        return Cause.of(
            CauseCode.STORAGE_UNSEEN,
            "storage_unseen",
            "The node that it was assigned does not share STORAGE_ROOT: {why}.",
            "It is retried automatically, on another node if there is one. Mount STORAGE_ROOT on the node at the same "
            "path, readable and writable for the service's user. It is used again five minutes after its last failure.",
            why=why,
        )
    return None


def _cause_of_failed_start(outcome: Outcome) -> Cause:
    why = outcome.error or Reason.of("the reason is unknown", "no_reason")
    if outcome.error_number in (errno.EACCES, errno.EPERM) and outcome.error_file:
        # The file may be the trainer's program, a directory above it, or a file of the service.
        return Cause.of(
            CauseCode.COULD_NOT_START,
            "start_denied",
            "The trainer could not be started: {why}.",
            "Give the service's user access to {file}: execute permission for a program, otherwise read and "
            "write, and access to each directory above. Then resume or restart the task.",
            why=why,
            file=outcome.error_file,
        )
    return Cause.of(
        CauseCode.COULD_NOT_START,
        "could_not_start",
        "The trainer could not be started: {why}.",
        "Check DIFFUSION_PIPE_PYTHON and DIFFUSION_PIPE_ROOT, and that the service's user can execute them.",
        why=why,
    )


def _cause(
    outcome: Outcome,
    trainer: Trainer,
    stop: StopState | None,
    progress: Progress,
    last_lines: Sequence[str],
    phrases: frozenset[str],
) -> Cause:
    if (known := _cause_by_reason(outcome)) is not None:
        return known
    found = trainer.diagnose(
        Ending(
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            stop_requested=stop is not None,
            phrases=phrases,
            last_lines=last_lines,
            nan_in_a_row=progress.nan_in_a_row,
            warnings=tuple(progress.warnings),
        )
    )
    return _cause_outside_trainer(outcome, found, stop, last_lines) or found


def _cause_outside_trainer(
    outcome: Outcome, found: Cause, stop: StopState | None, last_lines: Sequence[str]
) -> Cause | None:
    """Return a cause from the supervisor or the disk if the trainer's own messages say less, else None."""
    is_vague = found.code in (CauseCode.TRAINER_ERROR, CauseCode.DID_NOT_TRAIN, CauseCode.KILLED)
    if outcome.reason == "supervisor_lost" and is_vague:
        return Cause.of(
            CauseCode.SUPERVISOR_LOST,
            "supervisor_lost",
            "The supervisor of the trainer was killed, so how the trainer ended is unknown.",
            "It is retried automatically. Find out what kills this user's processes, such as the out-of-memory killer.",
            found.last_lines,
        )
    if stop is None and outcome.stop_rung is not None and found.code is CauseCode.KILLED:
        return Cause.of(
            CauseCode.KILLED,
            "supervisor_ended_it",
            "Its supervisor ended it by an order from outside this service: a signal, or a file stop.json.",
            "Find out the origin (an administrator, or the trainer itself). Then resume it from its last checkpoint.",
            found.last_lines,
        )
    if outcome.log_lost_bytes and is_vague and not find_errors(last_lines):
        # The trainer's last messages are lost, and the cause of that probably affected its files, too.
        return Cause.of(
            CauseCode.DISK_FULL,
            "output_lost",
            "The last {bytes} bytes of its output could not be written; the disk was probably full.",
            "Free disk space (old checkpoints, caches), set keep_last_checkpoints, and then resume it.",
            found.last_lines,
            bytes=f"{outcome.log_lost_bytes:,}",
        )
    return None


def plan_retry(
    task: TaskSummary, request: TrainingRequest, cause: Cause, made_progress: bool, is_temporary: bool = False
) -> NextTry | None:
    """Return whether and when to retry a failed task. `made_progress`: the attempt made new steps."""
    if cause.code in MADE_ROOM:
        return NextTry(0.0, counts=False)
    in_a_row = 0 if made_progress else task.retries_in_a_row
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0**in_a_row)
    if in_a_row < (TEMPORARY_TRIES if is_temporary else RETRIED_BY_ITSELF.get(cause.code, 0)):
        return NextTry(0.0 if cause.code is CauseCode.PORT_IN_USE else wait, counts=False)
    causes = RETRIED_BY_DEFAULT if request.retry_on is None else frozenset(request.retry_on)
    if task.retries < request.max_retries and cause.code in causes:
        return NextTry(wait, counts=True)
    return None
