"""What the end of an attempt amounts to: the trainer's own words, weighed against its exit and its checkpoints."""

import errno
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from api.domain.cause import RETRIED_BY_DEFAULT, RETRIED_BY_ITSELF, Cause, CauseCode
from api.domain.progress import Progress
from api.domain.reason import Reason, Words
from api.domain.training import Checkpoint, StopRung, StopState, TaskStatus, TaskSummary, TrainingRequest
from api.executors.executor import EngineNever, Outcome
from api.trainers.protocol.error_lines import find_errors
from api.trainers.trainer import Ending, Trainer
from api.training.attempts.starter import CannotStart

#: Seconds before a retry: doubled with each try in a row, up to the bound.
FIRST_WAIT = 5.0
LONGEST_WAIT = 300.0

#: System errors of a machine that is short of something for now: the next start may well succeed.
PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR}
    | {errno.EBUSY, errno.ETXTBSY, errno.ESTALE, errno.ETIMEDOUT}
)

#: Starts in a row that are tried after such an error, with growing waits: five minutes in all.
PASSING_TRIES = 6

_ONLY_NAN = Cause.of(
    CauseCode.NAN_LOSS,
    "only_nan",
    "It made all its steps, but every loss was no number (NaN): it has learnt nothing.",
    "Start it anew, and not from one of its checkpoints: with a lower learning rate, with dtype bfloat16 instead of "
    "float16 or float8, or after a check of the dataset. What it saved is of no use.",
)

STOPPED_BEFORE_START = Reason.of("stopped before it was started", "stopped_before_start")


@dataclass(frozen=True, slots=True)
class AttemptVerdict:
    """How an attempt ended, in a sentence, and why it failed if it did."""

    status: TaskStatus
    message: Words
    cause: Cause | None = None
    is_passing: bool = False  #: it could not be started for a reason that may be gone by the next try


@dataclass(frozen=True, slots=True)
class NextTry:
    """Another try, in so many seconds. `counts`: it uses up one of max_retries."""

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
    """The verdict on an attempt that has ended. `checkpoints` are those of its run directory.

    Both phrases are said after a checkpoint of the last step was saved, so they count for nothing without one.
    """
    said = outcome.phrases | progress.phrases
    phrases: frozenset[str] = said if _is_borne_out(outcome, progress, checkpoints) else frozenset()
    if trainer.completed_phrase in phrases and _ended_well(outcome, progress):
        if _has_only_nan(progress):
            return AttemptVerdict(TaskStatus.FAILED, _ONLY_NAN.words, _ONLY_NAN)
        said_it = Reason.of('the trainer said "{phrase}"', "said_complete", phrase=trainer.completed_phrase)
        return AttemptVerdict(TaskStatus.COMPLETED, said_it)
    stopped = None if stop is None else _judge_stop(outcome, trainer, stop, said, phrases)
    if stopped is not None:
        return stopped
    cause = _cause(outcome, trainer, stop, progress, last_lines, phrases)
    if cause.code is CauseCode.DID_NOT_TRAIN and trainer.completed_phrase in said:
        detail = Reason.of(
            'Its output has the words "{phrase}", but it left no checkpoint of its last step.',
            "no_last_checkpoint_detail",
            phrase=trainer.completed_phrase,
        )
        cause = replace(cause, detail=detail.text, detail_code=detail.said)
    return AttemptVerdict(TaskStatus.FAILED, cause.words, cause, outcome.error_number in PASSING)


def judge_caching(
    outcome: Outcome, trainer: Trainer, stop: StopState | None, progress: Progress, last_lines: Sequence[str]
) -> AttemptVerdict:
    """The verdict on an attempt that only caches: it says nothing at its end, so the exit code of the command decides,
    which its supervisor has seen. Whether the cache is there is looked at by whoever takes it up.
    """
    is_told = stop is not None and stop.cause is not None
    if outcome.exit_code == 0 and outcome.signal is None and not is_told:
        said = Reason.of("the trainer ended with exit code 0", "caching_ended")
        return AttemptVerdict(TaskStatus.COMPLETED, said)
    return judge_outcome(outcome, trainer, stop, progress, last_lines, ())


def could_not_start(error: Exception) -> AttemptVerdict:
    """The verdict on an attempt whose supervisor could not be started."""
    if isinstance(error, EngineNever):
        never = Cause.of(
            CauseCode.COULD_NOT_START,
            "over_engine_limit",
            "The cluster never takes it: a limit of its user, account or QOS allows no such job ({why}).",
            "Ask for fewer GPUs, less of time_limit, cpus_per_gpu or memory_per_gpu, or by another account or qos.",
            why=error.strerror or str(error),
        )
        return AttemptVerdict(TaskStatus.FAILED, never.words, never)
    reason = error if isinstance(error, OSError) else error.__cause__
    cause = Cause.of(
        CauseCode.COULD_NOT_START,
        "attempt_not_started",
        "The attempt could not be started: {why}.",
        "Look at what is named here; then resume or restart it.",
        why=error.words if isinstance(error, CannotStart) else str(error),
    )
    return AttemptVerdict(
        TaskStatus.FAILED, cause.words, cause, isinstance(reason, OSError) and reason.errno in PASSING
    )


def _is_borne_out(outcome: Outcome, progress: Progress, checkpoints: Sequence[Checkpoint]) -> bool:
    """Whether the attempt made steps and left a whole checkpoint of its last printed one, or of a later one."""
    steps = [step for step in (progress.step, outcome.last_step) if step is not None]
    return any(one.is_complete and steps and (one.step is None or one.step >= max(steps)) for one in checkpoints)


def _has_only_nan(progress: Progress) -> bool:
    """Whether all losses of a training were NaN; of one that was resumed, other attempts may have had better."""
    return progress.first_step == 1 and progress.nan_steps > 0 and progress.best_loss is None


def _ended_well(outcome: Outcome, progress: Progress) -> bool:
    """Whether the exit fits a training that is done: after all its steps a rank may still crash at the very end."""
    if outcome.exit_code == 0:
        return True
    if outcome.exit_code is None and outcome.signal is None:
        return progress.total_steps is None or (progress.step or 0) >= progress.total_steps
    return progress.step is not None and progress.step >= (progress.total_steps or math.inf)


def _judge_stop(
    outcome: Outcome, trainer: Trainer, stop: StopState, said: frozenset[str], phrases: frozenset[str]
) -> AttemptVerdict | None:
    """The verdict on a stop that was carried out; None when the attempt ended by itself meanwhile."""
    if stop.cause is not None:
        return AttemptVerdict(TaskStatus.FAILED, stop.cause.words, stop.cause)
    if trainer.stopped_phrase in phrases:
        return AttemptVerdict(TaskStatus.STOPPED, Reason.of("stopped with a checkpoint", "stopped_with_checkpoint"))
    if outcome.reason == "stopped_before_start":
        return AttemptVerdict(TaskStatus.STOPPED, STOPPED_BEFORE_START)
    if outcome.stop_rung in (StopRung.TERMINATE, StopRung.KILL):
        how = "SIGTERM" if outcome.stop_rung is StopRung.TERMINATE else "SIGKILL"
        by = Reason.of("stopped by {signal}, without a new checkpoint", "stopped_by", signal=how)
        return AttemptVerdict(TaskStatus.STOPPED, by)
    if trainer.stopped_phrase in said and outcome.exit_code == 0:
        quit_ = Reason.of("it quit as it was asked to, but left no checkpoint of its last step", "quit_without")
        return AttemptVerdict(TaskStatus.STOPPED, quit_)
    return None


def _cause_by_reason(outcome: Outcome) -> Cause | None:
    """The cause when the outcome's reason alone tells it; None when the trainer's output must."""
    if outcome.reason == "machine_restarted":
        return Cause.of(
            CauseCode.MACHINE_RESTARTED,
            "machine_restarted",
            "The machine was restarted while it ran.",
            "It is tried again by itself; resume it if that was not enough.",
        )
    return _why_not_started(outcome) if outcome.reason == "could_not_start" else _cause_of_cluster(outcome)


def _cause_of_cluster(outcome: Outcome) -> Cause | None:
    """The cause where a cluster's engine has ended it; None for any other."""
    why = outcome.error or ""
    if outcome.reason == "node_lost":
        return Cause.of(
            CauseCode.NODE_LOST,
            "node_lost",
            "The machine that it ran on was lost: {why}.",
            "It is tried again by itself, on another machine where there is one; look at the one that was lost.",
            why=why,
        )
    if outcome.reason == "preempted":
        return Cause.of(
            CauseCode.PREEMPTED,
            "preempted",
            "The cluster gave its GPUs to a job with more right to them: {why}.",
            "It goes on by itself from its last checkpoint, once GPUs are free.",
            why=why,
        )
    if outcome.reason == "time_limit":
        return Cause.of(
            CauseCode.TIME_LIMIT,
            "time_limit",
            "The cluster's time limit for it was over: {why}.",
            "It goes on by itself from its last checkpoint, as long as it gets further; with "
            "`slurm.time_limit` it gets more time at once, as far as its partition allows.",
            why=why,
        )
    return _fault_of_cluster(outcome.reason, why)


def _fault_of_cluster(reason: str, why: str) -> Cause | None:
    """The cause where something of a cluster is not as it should be; None for any other."""
    if reason == "job_cancelled":
        return Cause.of(
            CauseCode.JOB_CANCELLED,
            "job_cancelled",
            "{why}.",
            "Ask the cluster's administrator why; then resume it from its last checkpoint.",
            why=why,
        )
    if reason == "job_lost":
        return Cause.of(
            CauseCode.JOB_LOST,
            "job_lost",
            "The cluster's controller forgot that it ran, and had it ended: {why}.",
            "It goes on by itself from its last checkpoint; look for why the controller was restarted.",
            why=why,
        )
    if reason == "storage_unseen":
        return Cause.of(
            CauseCode.STORAGE_UNSEEN,
            "storage_unseen",
            "The machine that it was given does not share STORAGE_ROOT: {why}.",
            "It is tried again by itself, on another machine where there is one. Mount STORAGE_ROOT there at the same "
            "path, for the service's user to read and write; five minutes after its last failure it is tried again.",
            why=why,
        )
    return None


def _why_not_started(outcome: Outcome) -> Cause:
    why = outcome.error or Reason.of("no reason is known", "no_reason")
    if outcome.error_number in (errno.EACCES, errno.EPERM) and outcome.error_file:
        # It may be the trainer's program, a directory above it, or a file of the service's own.
        return Cause.of(
            CauseCode.COULD_NOT_START,
            "start_denied",
            "The trainer could not be started: {why}.",
            "Let the service's user use {file}: execute it if it is a program, else read and write it, and enter each "
            "directory above it. Then resume or restart the task.",
            why=why,
            file=outcome.error_file,
        )
    return Cause.of(
        CauseCode.COULD_NOT_START,
        "could_not_start",
        "The trainer could not be started: {why}.",
        "Check DIFFUSION_PIPE_PYTHON and DIFFUSION_PIPE_ROOT, and that the service's user may execute them.",
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
        )
    )
    return _cause_beside(outcome, found, stop, last_lines) or found


def _cause_beside(outcome: Outcome, found: Cause, stop: StopState | None, last_lines: Sequence[str]) -> Cause | None:
    """What the supervisor or the disk did, where the trainer's own words tell less; None otherwise."""
    is_vague = found.code in (CauseCode.TRAINER_ERROR, CauseCode.DID_NOT_TRAIN, CauseCode.KILLED)
    if outcome.reason == "supervisor_lost" and is_vague:
        return Cause.of(
            CauseCode.SUPERVISOR_LOST,
            "supervisor_lost",
            "The process that watched over the trainer was killed, and how the trainer ended was not seen.",
            "It is tried again by itself; look for what kills processes of this user (the out-of-memory killer?).",
            last_lines,
        )
    if stop is None and outcome.stop_rung is not None and found.code is CauseCode.KILLED:
        return Cause.of(
            CauseCode.KILLED,
            "supervisor_ended_it",
            "Its own supervisor ended it, by an order that this service did not give: a signal, or a file stop.json.",
            "Find out who did (an administrator, the trainer itself), then resume it from its last checkpoint.",
            found.last_lines,
        )
    if outcome.log_lost_bytes and is_vague and not find_errors(last_lines):
        # Its last words are lost, and what kept the log from being written kept it from writing as well.
        return Cause.of(
            CauseCode.DISK_FULL,
            "output_lost",
            "The disk did not take the last {bytes} bytes of its output: most likely it was full.",
            "Free disk space (old checkpoints, caches), set keep_last_checkpoints, then resume.",
            found.last_lines,
            bytes=f"{outcome.log_lost_bytes:,}",
        )
    return None


def plan_retry(
    task: TaskSummary, request: TrainingRequest, cause: Cause, got_further: bool, is_passing: bool = False
) -> NextTry | None:
    """Whether and when a failed task is tried again. `got_further`: the attempt made steps."""
    in_a_row = 0 if got_further else task.retries_in_a_row
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0**in_a_row)
    if in_a_row < (PASSING_TRIES if is_passing else RETRIED_BY_ITSELF.get(cause.code, 0)):
        return NextTry(0.0 if cause.code is CauseCode.PORT_IN_USE else wait, counts=False)
    causes = RETRIED_BY_DEFAULT if request.retry_on is None else frozenset(request.retry_on)
    if task.retries < request.max_retries and cause.code in causes:
        return NextTry(wait, counts=True)
    return None
