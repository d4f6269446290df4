"""What the end of an attempt amounts to: the trainer's own words decide, the exit code alone never does."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.executors.executor import Outcome
from api.models.training import (
    RETRIED_BY_DEFAULT,
    RETRIED_BY_ITSELF,
    Cause,
    CauseCode,
    StopRung,
    StopState,
    TaskStatus,
    TaskSummary,
    TrainingRequest,
)
from api.trainers.error_lines import find_errors
from api.trainers.output import Progress
from api.trainers.trainer import Ending, Trainer

#: Seconds before a retry: doubled with each try in a row, up to the bound.
FIRST_WAIT = 5.0
LONGEST_WAIT = 300.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt ended, in a sentence, and why it failed if it did."""

    status: TaskStatus
    message: str
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Another try, in so many seconds. `counts`: it uses up one of max_retries."""

    wait: float
    counts: bool


def judge_outcome(
    outcome: Outcome, trainer: Trainer, stop: StopState | None, progress: Progress, last_lines: Sequence[str]
) -> Verdict:
    """The verdict on an attempt that has ended."""
    phrases = outcome.phrases | progress.phrases
    if trainer.completed_phrase in phrases:
        return Verdict(TaskStatus.COMPLETED, f'the trainer said "{trainer.completed_phrase}"')
    stopped = None if stop is None else _judge_stop(outcome, trainer, stop, phrases)
    if stopped is not None:
        return stopped
    cause = _cause(outcome, trainer, stop, progress, last_lines, phrases)
    return Verdict(TaskStatus.FAILED, cause.detail, cause)


def _judge_stop(outcome: Outcome, trainer: Trainer, stop: StopState, phrases: frozenset[str]) -> Verdict | None:
    """The verdict on a stop that was carried out; None when the attempt ended by itself meanwhile."""
    if stop.cause is not None:
        return Verdict(TaskStatus.FAILED, stop.cause.detail, stop.cause)
    if trainer.stopped_phrase in phrases:
        return Verdict(TaskStatus.STOPPED, "stopped with a checkpoint")
    if outcome.reason == "stopped_before_start":
        return Verdict(TaskStatus.STOPPED, "stopped before it was started")
    if outcome.stop_rung in (StopRung.TERMINATE, StopRung.KILL):
        how = "SIGTERM" if outcome.stop_rung is StopRung.TERMINATE else "SIGKILL"
        return Verdict(TaskStatus.STOPPED, f"stopped by {how}, without a new checkpoint")
    return None


def _cause(
    outcome: Outcome,
    trainer: Trainer,
    stop: StopState | None,
    progress: Progress,
    last_lines: Sequence[str],
    phrases: frozenset[str],
) -> Cause:
    if outcome.reason == "machine_restarted":
        return Cause(
            CauseCode.MACHINE_RESTARTED,
            "The machine was restarted while it ran.",
            "It is tried again by itself; resume it if that was not enough.",
        )
    if outcome.reason == "could_not_start":
        return Cause(
            CauseCode.COULD_NOT_START,
            f"The trainer could not be started: {outcome.error or 'no reason is known'}.",
            "Check DIFFUSION_PIPE_PYTHON and DIFFUSION_PIPE_ROOT, and that the service's user may execute them.",
        )
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
    is_vague = found.code in (CauseCode.TRAINER_ERROR, CauseCode.DID_NOT_TRAIN, CauseCode.KILLED)
    if outcome.reason == "supervisor_lost" and is_vague:
        return Cause(
            CauseCode.SUPERVISOR_LOST,
            "The process that watched over the trainer was killed, and how the trainer ended was not seen.",
            "It is tried again by itself; look for what kills processes of this user (the out-of-memory killer?).",
            tuple(last_lines),
        )
    if outcome.log_lost_bytes and is_vague and not find_errors(last_lines):
        # Its last words are lost, and what kept the log from being written kept it from writing as well.
        return Cause(
            CauseCode.DISK_FULL,
            f"The disk did not take the last {outcome.log_lost_bytes:,} bytes of its output: most likely it was full.",
            "Free disk space (old checkpoints, caches), set keep_last_checkpoints, then resume.",
            found.last_lines,
        )
    return found


def plan_retry(task: TaskSummary, request: TrainingRequest, cause: Cause, got_further: bool) -> Retry | None:
    """Whether and when a failed task is tried again. `got_further`: the attempt made steps."""
    in_a_row = 0 if got_further else task.retries_in_a_row
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0**in_a_row)
    if in_a_row < RETRIED_BY_ITSELF.get(cause.code, 0):
        return Retry(0.0 if cause.code is CauseCode.PORT_IN_USE else wait, counts=False)
    causes = RETRIED_BY_DEFAULT if request.retry_on is None else frozenset(request.retry_on)
    if task.retries < request.max_retries and cause.code in causes:
        return Retry(wait, counts=True)
    return None
