"""Ending attempts: the verdict, the retry, and freeing GPUs once readings show them free."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from api.db.leadership import LeadershipLost
from api.domain.cause import MADE_ROOM
from api.domain.lease import Lease
from api.domain.measured_memory import MemoryRun
from api.domain.reason import Reason
from api.domain.task import TaskType
from api.domain.training import Attempt, EventKind, ResumeOptions, TaskStatus, TaskSummary
from api.errors import DatabaseUnavailable, ServiceError
from api.executors.executor import AttemptRef, Executor, Outcome
from api.gpus.judgement import DRAINING_SECONDS
from api.gpus.offers import is_clear
from api.gpus.service import GPUService
from api.training.attempt_store import AttemptStore, Finish
from api.training.attempts.outcomes import (
    TEMPORARY,
    AttemptVerdict,
    NextTry,
    judge_caching,
    judge_outcome,
    plan_retry,
)
from api.training.attempts.progress import reached, show_ended
from api.training.attempts.rehearsal_result import summarise
from api.training.attempts.starter import AttemptStarter
from api.training.attempts.task_results import TaskResultRecorder
from api.training.attempts.watch import AttemptWatch
from api.training.rounds import DrainingGPU
from api.training.store import TaskStore
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Limit of attempts to read the files of an ended attempt.
FINISH_TRIES = 3

#: Seconds of retries while the disk fails, so that the verdict considers all files.
TEMPORARY_SECONDS = 20.0


class AttemptEnding:
    """Ends attempts: records verdict and retry, and frees the GPUs."""

    def __init__(
        self,
        tasks: TaskStore,
        attempts: AttemptStore,
        gpus: GPUService,
        starter: AttemptStarter,
        executor: Executor,
        clock: Clock,
        recorders: Mapping[TaskType, TaskResultRecorder] = MappingProxyType({}),
        keep_lora: Callable[[str, str], None] = lambda task_id, actor: None,
        remove_rehearsals: Callable[[], None] = lambda: None,
        take_samples: Callable[[str], None] = lambda task_id: None,
        retain: Callable[[str], object] = lambda task_id: None,
    ) -> None:
        """Create the ending. `recorders` collect the results of tasks of their kinds.

        `retain` deletes what the rule of a training does not keep.

        `keep_lora` exports the last checkpoint of a task for the author of its stop, and `take_samples` records the
        samples that a task has rendered. Repeated calls change nothing.
        `remove_rehearsals` removes the files of ended rehearsals and exports in the background.
        """
        self._take_samples = take_samples
        self._retain = retain
        self._keep_lora = keep_lora
        self._recorders = recorders
        self._remove_rehearsals = remove_rehearsals
        self._tasks = tasks
        self._attempts = attempts
        self._gpus = gpus
        self._clock = clock
        self._starter = starter
        self._executor = executor
        self._drains: dict[str, float] = {}
        #: Failed reads of an attempt's files, by uid: their number, and monotonic time of the first.
        self._failures: dict[str, tuple[int, float]] = {}
        self._unclear: set[str] = set()  #: GPUs for which an unreadable state was already logged
        self._reported: set[str] = set()  #: GPUs for which remaining processes were already reported

    def end(self, task: TaskSummary, watch: AttemptWatch, outcome: Outcome) -> bool:
        """Record how an attempt ended. Return False while its results are still being collected."""
        self._read_rest(watch)
        verdict = _judge(task, watch, outcome)
        recorder = self._recorders.get(task.kind) if verdict.status is TaskStatus.COMPLETED else None
        if recorder is None:
            self._finish(task, watch.attempt, verdict, outcome, watch, self._summarise(task, watch))
            return True
        collected = recorder.collect(watch.task, self._starter.files(task.task_id).output)
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
            return asdict(summarise(watch, self._starter.files(task.task_id)))
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
                self._tasks.note_checkpoint(watch.attempt, found.name, self._clock.now())
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
        if retry is None:
            self._keep_requested_lora(task.task_id)
        if task.kind is TaskType.SAMPLE:
            self._take_samples(task.task_id)
        is_first = self._attempts.finish(attempt, finish, self._clock.now())
        if is_first:
            self._report_end(attempt, finish)
            if task.kind in (TaskType.REHEARSAL, TaskType.EXPORT):
                self._remove_rehearsals()
            if task.kind is TaskType.TRAINING:
                self._delete_surplus(task.task_id)
        return is_first

    def _delete_surplus(self, task_id: str) -> None:
        """Delete what the rule of the training does not keep. The end was recorded, so that errors change nothing."""
        try:
            self._retain(task_id)
        except (OSError, DatabaseUnavailable, LeadershipLost, ServiceError) as error:
            logger.warning("cannot delete what no rule keeps", extra={"task_id": task_id, "problem": str(error)})

    def _keep_requested_lora(self, task_id: str) -> None:
        """Export the last checkpoint if the stop requests it."""
        stop = self._tasks.get_summary(task_id).stop
        if stop is not None and stop.keep_lora:
            self._keep_lora(task_id, stop.actor)

    def _report_end(self, attempt: Attempt, finish: Finish) -> None:
        code = None if finish.cause is None else finish.cause.code
        logger.info("attempt ended", extra={"attempt": attempt.uid, "status": finish.status, "cause": code})
        # Read the GPUs soon, so that they become free soon.
        self._gpus.note_change()
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

    # -- draining --------------------------------------------------------------------------------------------------

    def free_drained(self, draining: Sequence[DrainingGPU]) -> bool:
        """Free the draining GPUs that show no trace of their last holder. Return whether there were any."""
        now = self._clock.monotonic()
        self._drains = {lease.resource: self._drains.get(lease.resource, now) for lease, _ in draining}
        self._reported.intersection_update(self._drains)
        self._unclear.intersection_update(self._drains)
        drained = [drain.lease for drain in draining if self._can_be_freed(drain)]
        freed = [lease for lease in drained if self._attempts.release_drained(lease)]
        if freed:
            self._gpus.note_change()
        elif draining:
            self._gpus.sweep_soon()
        return bool(freed)

    def _can_be_freed(self, drain: DrainingGPU) -> bool:
        lease = drain.lease
        try:
            return self._is_drained(drain)
        except (DatabaseUnavailable, LeadershipLost):
            raise
        except Exception:
            # An error with one GPU must not affect others. This one stays draining.
            if lease.resource not in self._unclear:
                self._unclear.add(lease.resource)
                logger.exception("cannot check a draining GPU", extra={"gpu": lease.resource})
            return False

    def _is_drained(self, drain: DrainingGPU) -> bool:
        lease = drain.lease
        # On the monotonic clock, so the limit starts again after a restart.
        since = self._drains[lease.resource]
        looks_free = is_clear(self._gpus.state, lease.resource, since)
        is_overdue = self._clock.monotonic() - since >= DRAINING_SECONDS
        if not looks_free and not is_overdue:
            return False
        pids = self._survivors(drain)
        if pids and is_overdue and lease.resource not in self._reported:
            self._reported.add(lease.resource)
            self._warn(lease, _still_draining(lease.resource, pids))
        elif not pids and not looks_free:
            released = Reason.of(
                "{gpu} is released after {seconds} s although its readings do not show it free",
                "let_go",
                gpu=lease.resource,
                seconds=round(DRAINING_SECONDS),
            )
            self._warn(lease, released)
        return not pids

    def _survivors(self, drain: DrainingGPU) -> Sequence[int]:
        """Return the remaining processes of the lease's attempt. They use the GPU whatever the readings show."""
        lease = drain.lease
        if lease.attempt_uid is None:
            return ()
        log = self._starter.files(lease.task_id).log
        return self._executor.survivors(AttemptRef(lease.attempt_uid, drain.directory, log))

    def _warn(self, lease: Lease, message: Reason) -> None:
        now, uid = self._clock.now(), lease.attempt_uid
        self._tasks.add_event(lease.task_id, EventKind.WARNING, now, "service", message, uid)


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


def _still_draining(gpu: str, pids: Sequence[int]) -> Reason:
    shown = ", ".join(str(pid) for pid in pids[:5])
    if len(pids) == 1:
        return Reason.of(
            "{gpu} stays draining because process {pid} of its last attempt is still running",
            "stays_draining",
            gpu=gpu,
            pid=shown,
        )
    return Reason.of(
        "{gpu} stays draining because processes {pids} of its last attempt are still running",
        "stays_draining_many",
        gpu=gpu,
        pids=shown,
    )


def _show_outcome(outcome: Outcome, watch: AttemptWatch | None) -> dict[str, object]:
    seconds = watch.seconds if outcome.seconds is None and watch is not None else outcome.seconds
    return {**asdict(outcome), "phrases": sorted(outcome.phrases), "seconds": seconds}
