"""End attempts: the verdict, and the retry."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Protocol

from api.db.leadership import LeadershipLost
from api.domain.reason import Reason
from api.domain.tasks.cause import MADE_ROOM
from api.domain.tasks.measured_memory import MemoryRun
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import Attempt, ResumeOptions, TaskStatus, TaskSummary
from api.errors import DatabaseUnavailable
from api.executors.executor import Outcome
from api.files.task_files import TaskStorage
from api.gpus.service import GPUService
from api.training.attempts.outcomes import (
    TEMPORARY,
    AttemptVerdict,
    NextTry,
    judge_caching,
    judge_outcome,
    plan_retry,
)
from api.training.attempts.rehearsal_result import summarise
from api.training.attempts.task_results import TaskResultRecorder
from api.training.attempts.watch.progress_reports import reached, show_ended
from api.training.attempts.watch.watch import AttemptWatch
from api.training.records.attempt_store import Finish, TaskStores
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Limit of attempts to read the files of an ended attempt.
FINISH_TRIES = 3

#: Seconds of retries while the disk fails, so that the verdict considers all files.
TEMPORARY_SECONDS = 20.0


class EndFollowUp(Protocol):
    """Does what follows the end of an attempt. Repeated calls change nothing."""

    def prepare(self, task: TaskSummary, *, is_final: bool) -> None:
        """Do what must not be lost, before the end is recorded: a crash in between only repeats it.

        `is_final`: the attempt is not retried.
        """

    def follow(self, task: TaskSummary) -> None:
        """Do the rest, after the end was recorded."""


class AttemptEnding:
    """Records the ends of attempts with their verdicts and retries. Their GPUs drain."""

    def __init__(
        self,
        stores: TaskStores,
        gpus: GPUService,
        storage: TaskStorage,
        recorders: Mapping[TaskType, TaskResultRecorder],
        after_end: EndFollowUp,
        clock: Clock,
    ) -> None:
        """Create the ending. `recorders` collect the results of tasks of their kinds."""
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._gpus = gpus
        self._storage = storage
        self._recorders = recorders
        self._after_end = after_end
        self._clock = clock
        #: Failed reads of an attempt's files, by uid: their number, and monotonic time of the first.
        self._failures: dict[str, tuple[int, float]] = {}

    def end(self, task: TaskSummary, watch: AttemptWatch, outcome: Outcome) -> bool:
        """Record how an attempt ended. Return False while its results are still being collected."""
        self._read_rest(watch)
        verdict = _judge(task, watch, outcome)
        recorder = self._recorders.get(task.kind) if verdict.status is TaskStatus.COMPLETED else None
        if recorder is None:
            self._finish(task, watch.attempt, verdict, outcome, watch, self._summarise(task, watch))
            return True
        collected = recorder.collect(watch.task, self._storage.files(task.task_id).output)
        if collected is None:
            return False
        if collected.cause is not None:
            verdict = AttemptVerdict(TaskStatus.FAILED, collected.cause.message, collected.cause)
        self._finish(task, watch.attempt, verdict, outcome, watch, collected.result)
        return True

    def _summarise(self, task: TaskSummary, watch: AttemptWatch) -> Mapping[str, Any] | None:
        if task.kind is not TaskType.REHEARSAL:
            return None
        try:
            return asdict(summarise(watch, self._storage.files(task.task_id)))
        except (OSError, ValueError, TypeError) as error:
            # Its figures are not worth holding its GPUs while the disk fails.
            logger.warning("cannot measure a rehearsal", extra={"attempt": watch.attempt.uid, "problem": str(error)})
            return None

    def _read_rest(self, watch: AttemptWatch) -> None:
        """Read the remaining output, with retries in later ticks. After several errors the attempt ends without it."""
        uid = watch.attempt.uid
        try:
            found_last = watch.finish()
            for found in found_last if watch.task.kind is TaskType.TRAINING else ():
                self._tasks.record_checkpoint(watch.attempt, found.name, self._clock.now())
        except (DatabaseUnavailable, LeadershipLost):
            raise
        except Exception as error:
            tries, since = self._failures.get(uid, (0, self._clock.monotonic()))
            self._failures[uid] = tries + 1, since
            is_temporary = isinstance(error, OSError) and error.errno in TEMPORARY
            if tries + 1 < FINISH_TRIES or (is_temporary and self._clock.monotonic() - since < TEMPORARY_SECONDS):
                raise
            logger.exception("cannot read the end of an attempt; ending it without", extra={"attempt": uid})
        self._failures.pop(uid, None)

    def abandon(self, task: TaskSummary, attempt: Attempt, verdict: AttemptVerdict) -> bool:
        """Record the end of an attempt that never started. Return False if it was already recorded."""
        return self._finish(task, attempt, verdict, None, None)

    def _finish(
        self,
        task: TaskSummary,
        attempt: Attempt,
        verdict: AttemptVerdict,
        outcome: Outcome | None,
        watch: AttemptWatch | None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        progress = None if watch is None else watch.progress
        made_progress = verdict.cause is not None and self._made_progress(watch)
        retry = self._retry(task, verdict, made_progress)
        last_step = None if progress is None else progress.step
        if last_step is None and outcome is not None:
            last_step = outcome.last_step
        made_room = retry is not None and verdict.cause is not None and verdict.cause.code in MADE_ROOM
        finish = Finish(
            status=verdict.status if retry is None else TaskStatus.QUEUED,
            message=verdict.message
            if retry is None or made_room
            else Reason.of("{what} It is retried.", "tried_again", what=verdict.message),
            cause=verdict.cause,
            outcome=None if outcome is None else _show_outcome(outcome, watch),
            progress=None if progress is None or watch is None else show_ended(progress, attempt, watch.seconds),
            first_step=None if progress is None else progress.first_step,
            last_step=last_step,
            run_dir=None if watch is None or watch.run_dir is None else str(watch.run_dir),
            peak_memory_mb=None if watch is None else watch.peak_memory_mb,
            memory=None if watch is None else _memory_run(verdict, watch),
            retry_in=None if retry is None else timedelta(seconds=retry.wait),
            retry_counts=retry is not None and retry.counts,
            retries_in_a_row=task.retries_in_a_row
            if made_room
            else 0
            if retry is None
            else (0 if made_progress else task.retries_in_a_row) + 1,
            resume=None if retry is None else self._resume_of(task, watch),
            result=result,
        )
        # Before the end is recorded, so that a crash in between only repeats it.
        self._after_end.prepare(task, is_final=retry is None)
        is_first = self._attempts.finish(attempt, finish, self._clock.now())
        if is_first:
            self._report_end(attempt, finish)
            self._after_end.follow(task)
        return is_first

    def _report_end(self, attempt: Attempt, finish: Finish) -> None:
        code = None if finish.cause is None else finish.cause.code
        logger.info("attempt ended", extra={"attempt": attempt.uid, "status": finish.status, "cause": code})
        # Read the GPUs soon, so that they become free soon.
        self._gpus.republish()
        self._gpus.sweep_soon()

    def _retry(self, task: TaskSummary, verdict: AttemptVerdict, made_progress: bool) -> NextTry | None:
        if task.kind is TaskType.REHEARSAL:
            return None
        was_stopped_by_user = task.stop is not None and task.stop.cause is None
        if verdict.status is not TaskStatus.FAILED or verdict.cause is None or was_stopped_by_user:
            return None
        return plan_retry(
            task, self._tasks.get(task.task_id).request, verdict.cause, made_progress, verdict.is_temporary
        )

    def _made_progress(self, watch: AttemptWatch | None) -> bool:
        """Return whether the attempt got further than every previous one, so that its failure is a new one."""
        reached = None if watch is None else watch.progress.step
        if watch is None or reached is None:
            return False
        earlier = self._attempts.of_task(watch.attempt.task_id)
        return all(reached > (attempt.last_step or 0) for attempt in earlier if attempt.uid != watch.attempt.uid)

    @staticmethod
    def _resume_of(task: TaskSummary, watch: AttemptWatch | None) -> dict[str, object] | None:
        """Return the resume options of the retry: those of this attempt if it made no step, otherwise defaults.

        An export always repeats its step.
        None starts from scratch, because there is no complete checkpoint.
        """
        is_same = task.kind is TaskType.EXPORT or watch is None or watch.progress.first_step is None
        if task.resume is not None and is_same:
            return asdict(task.resume)
        if watch is None or not any(checkpoint.is_complete for checkpoint in watch.checkpoints):
            return None
        return asdict(ResumeOptions())


def _memory_run(verdict: AttemptVerdict, watch: AttemptWatch) -> MemoryRun | None:
    """Return the attempt's measured memory if it trained, ended well and had its GPUs to itself."""
    planned, peak = watch.task.plan.memory, watch.peak_memory_mb
    ended_well = verdict.status in (TaskStatus.COMPLETED, TaskStatus.STOPPED)
    is_training = watch.task.kind in (TaskType.TRAINING, TaskType.REHEARSAL) and watch.was_measured_training
    if planned is None or peak is None or watch.shares_gpus or not ended_well or not is_training:
        return None
    return MemoryRun(planned.facts, peak)


def _judge(task: TaskSummary, watch: AttemptWatch, outcome: Outcome) -> AttemptVerdict:
    progress = reached(watch.progress, watch.attempt, task.progress)
    arguments = (outcome, watch.trainer, task.stop, progress, tuple(watch.last_lines))
    return judge_caching(*arguments) if task.kind is TaskType.CACHE else judge_outcome(*arguments, watch.checkpoints)


def _show_outcome(outcome: Outcome, watch: AttemptWatch | None) -> dict[str, object]:
    seconds = watch.seconds if outcome.seconds is None and watch is not None else outcome.seconds
    return {**asdict(outcome), "phrases": sorted(outcome.phrases), "seconds": seconds}
