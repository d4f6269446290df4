"""Ends attempts: the verdict, the retry, and the GPUs, which are free only when they show it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from api.db.leadership import LeadershipLost
from api.domain.lease import Lease
from api.domain.measured_memory import MemoryRun
from api.domain.reason import Reason
from api.domain.task import TaskType
from api.domain.training import Attempt, EventKind, ResumeOptions, TaskStatus, TaskSummary
from api.errors import DatabaseUnavailable
from api.executors.executor import AttemptRef, Executor, Outcome
from api.gpus.judgement import DRAINING_SECONDS
from api.gpus.offers import is_clear
from api.gpus.service import GPUService
from api.training.attempt_store import AttemptStore, Finish
from api.training.attempts.harvest import Harvester
from api.training.attempts.outcomes import (
    PASSING,
    AttemptVerdict,
    NextTry,
    judge_caching,
    judge_outcome,
    plan_retry,
)
from api.training.attempts.progress import reached, show_ended
from api.training.attempts.pruning import prune_checkpoints
from api.training.attempts.starter import AttemptStarter
from api.training.attempts.watch import AttemptWatch
from api.training.rounds import DrainingGPU
from api.training.store import TaskStore
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: How many times the service tries to read what an ended attempt left.
FINISH_TRIES = 3

#: Seconds for which it tries while the disk is in trouble, lest the verdict misses what the disk hides.
PASSING_SECONDS = 20.0


class AttemptEnding:
    """Ends attempts: records the verdict and the next try, and frees the GPUs."""

    def __init__(
        self,
        tasks: TaskStore,
        attempts: AttemptStore,
        gpus: GPUService,
        starter: AttemptStarter,
        executor: Executor,
        clock: Clock,
        node: str | None,
        root: Path,
        harvesters: Mapping[TaskType, Harvester] = MappingProxyType({}),
    ) -> None:
        """`harvesters` take up what tasks of their kinds have made."""
        self._harvesters = harvesters
        self._tasks = tasks
        self._attempts = attempts
        self._gpus = gpus
        self._clock = clock
        self._node = node
        self._root = root
        self._starter = starter
        self._executor = executor
        self._drains: dict[str, float] = {}
        #: Failed tries to read what an attempt left, by its uid: how many, and since when (monotonic).
        self._failures: dict[str, tuple[int, float]] = {}
        self._unclear: set[str] = set()  #: GPUs already reported as kept by something that nobody can see
        self._told: set[str] = set()  #: GPUs already reported with what keeps them

    def end(self, task: TaskSummary, watch: AttemptWatch, outcome: Outcome) -> bool:
        """Records how an attempt ended, by its supervisor's word; False while what it made is still being taken up."""
        self._take_up_the_rest(watch)
        verdict = _judge(task, watch, outcome)
        harvester = self._harvesters.get(task.kind) if verdict.status is TaskStatus.COMPLETED else None
        if harvester is None:
            self._finish(task, watch.attempt, verdict, outcome, watch)
            return True
        harvest = harvester.harvest(watch.task, self._starter.files(task.task_id).output)
        if harvest is None:
            return False
        if harvest.cause is not None:
            verdict = AttemptVerdict(TaskStatus.FAILED, harvest.cause.words, harvest.cause)
        self._finish(task, watch.attempt, verdict, outcome, watch, harvest.result)
        return True

    def _take_up_the_rest(self, watch: AttemptWatch) -> None:
        """Reads what the attempt left, in later ticks again if need be; in the end no unreadable file keeps it open."""
        uid = watch.attempt.uid
        try:
            found_last = watch.finish()
            for found in found_last if watch.task.kind is TaskType.TRAINING else ():
                self._tasks.note_checkpoint(watch.attempt, found.name, self._clock.now())
            prune_checkpoints(self._tasks, watch, self._clock.now())
        except (DatabaseUnavailable, LeadershipLost):
            raise
        except Exception as error:
            tries, since = self._failures.get(uid, (0, self._clock.monotonic()))
            self._failures[uid] = tries + 1, since
            is_passing = isinstance(error, OSError) and error.errno in PASSING
            if tries + 1 < FINISH_TRIES or (is_passing and self._clock.monotonic() - since < PASSING_SECONDS):
                raise
            logger.exception("the end of an attempt cannot be read: it is judged without", extra={"attempt": uid})
        self._failures.pop(uid, None)

    def give_up(self, task: TaskSummary, attempt: Attempt, verdict: AttemptVerdict) -> bool:
        """Records the end of an attempt that nothing was started for; False when that was done before."""
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
        got_further = verdict.cause is not None and self._got_further(watch)
        retry = self._retry(task, verdict, got_further)
        last_step = None if progress is None else progress.step
        if last_step is None and outcome is not None:
            last_step = outcome.last_step
        finish = Finish(
            status=verdict.status if retry is None else TaskStatus.QUEUED,
            message=verdict.message
            if retry is None
            else Reason.of("{what} It is tried again.", "tried_again", what=verdict.message),
            cause=verdict.cause,
            outcome=None if outcome is None else _show_outcome(outcome, watch),
            progress=None if progress is None or watch is None else show_ended(progress, attempt, watch.seconds),
            first_step=None if progress is None else progress.first_step,
            last_step=last_step,
            run_dir=None if watch is None or watch.run_dir is None else str(watch.run_dir),
            peak_memory_mb=None if watch is None else watch.peak_memory_mb,
            memory=None if watch is None else _learn(verdict, watch),
            retry_in=None if retry is None else timedelta(seconds=retry.wait),
            retry_counts=retry is not None and retry.counts,
            retries_in_a_row=0 if retry is None else (0 if got_further else task.retries_in_a_row) + 1,
            resume=None if retry is None else self._resume_of(task, watch),
            result=result,
        )
        is_first = self._attempts.finish(attempt, finish, self._clock.now())
        if is_first:
            self._tell_end(attempt, finish)
        return is_first

    def _tell_end(self, attempt: Attempt, finish: Finish) -> None:
        code = None if finish.cause is None else finish.cause.code
        logger.info("attempt ended", extra={"attempt": attempt.uid, "status": finish.status, "cause": code})
        # The sooner the GPUs are read again, the sooner they are free.
        self._gpus.note_change()
        self._gpus.sweep_soon()

    def _retry(self, task: TaskSummary, verdict: AttemptVerdict, got_further: bool) -> NextTry | None:
        was_asked_to_stop = task.stop is not None and task.stop.cause is None
        if verdict.status is not TaskStatus.FAILED or verdict.cause is None or was_asked_to_stop:
            return None
        return plan_retry(task, self._tasks.get(task.task_id).request, verdict.cause, got_further, verdict.is_passing)

    def _got_further(self, watch: AttemptWatch | None) -> bool:
        """Whether the attempt came further than every one before, so that its failure is a new one."""
        reached = None if watch is None else watch.progress.step
        if watch is None or reached is None:
            return False
        earlier = self._attempts.of_task(watch.attempt.task_id)
        return all(reached > (attempt.last_step or 0) for attempt in earlier if attempt.uid != watch.attempt.uid)

    @staticmethod
    def _resume_of(task: TaskSummary, watch: AttemptWatch | None) -> dict[str, object] | None:
        """The options of the next try: those of this one if it made no step, else the last complete checkpoint; None
        begins anew.
        """
        if task.resume is not None and (watch is None or watch.progress.first_step is None):
            return asdict(task.resume)
        if watch is None or not any(checkpoint.is_complete for checkpoint in watch.checkpoints):
            return None
        return asdict(ResumeOptions())

    # -- draining --------------------------------------------------------------------------------------------------

    def free_drained(self, draining: Sequence[DrainingGPU]) -> bool:
        """Frees the GPUs that show nothing of their last holder any more; True when there were any."""
        now = self._clock.monotonic()
        self._drains = {lease.resource: self._drains.get(lease.resource, now) for lease, _ in draining}
        self._told.intersection_update(self._drains)
        self._unclear.intersection_update(self._drains)
        gone = [drain.lease for drain in draining if self._can_be_freed(drain)]
        freed = [lease for lease in gone if self._attempts.release_drained(lease)]
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
            # One that nobody can tell of stays, and keeps no other one.
            if lease.resource not in self._unclear:
                self._unclear.add(lease.resource)
                logger.exception("a GPU that drains cannot be looked at", extra={"gpu": lease.resource})
            return False

    def _is_drained(self, drain: DrainingGPU) -> bool:
        lease = drain.lease
        # By the monotonic clock: after a restart the bound begins anew.
        since = self._drains[lease.resource]
        looks_free = is_clear(self._gpus.state, lease.resource, since)
        is_overdue = self._clock.monotonic() - since >= DRAINING_SECONDS
        if not looks_free and not is_overdue:
            return False
        pids = self._survivors(drain)
        if pids and is_overdue and lease.resource not in self._told:
            self._told.add(lease.resource)
            self._warn(lease, _stays(lease.resource, pids))
        elif not pids and not looks_free:
            let_go = Reason.of(
                "{gpu} is let go after {seconds} s, although it does not look free",
                "let_go",
                gpu=lease.resource,
                seconds=round(DRAINING_SECONDS),
            )
            self._warn(lease, let_go)
        return not pids

    def _survivors(self, drain: DrainingGPU) -> Sequence[int]:
        """The pids that are left of the lease's attempt: they use the GPU, whatever the readings show."""
        lease = drain.lease
        if lease.attempt_uid is None:
            return ()
        log = self._starter.files(lease.task_id).log
        return self._executor.survivors(AttemptRef(lease.attempt_uid, drain.directory, log))

    def _warn(self, lease: Lease, message: Reason) -> None:
        now, uid = self._clock.now(), lease.attempt_uid
        self._tasks.add_event(lease.task_id, EventKind.WARNING, now, "service", message, uid)


def _learn(verdict: AttemptVerdict, watch: AttemptWatch) -> MemoryRun | None:
    """What the attempt tells of the memory that others will need: where it had its GPUs for itself, and trained."""
    planned, peak = watch.task.plan.memory, watch.peak_memory_mb
    ended_well = verdict.status in (TaskStatus.COMPLETED, TaskStatus.STOPPED)
    is_training = watch.task.kind is TaskType.TRAINING and watch.was_measured_training
    if planned is None or peak is None or watch.shares_gpus or not ended_well or not is_training:
        return None
    return MemoryRun(planned.facts, peak)


def _judge(task: TaskSummary, watch: AttemptWatch, outcome: Outcome) -> AttemptVerdict:
    progress = reached(watch.progress, watch.attempt, task.progress)
    seen = (outcome, watch.trainer, task.stop, progress, tuple(watch.last_lines))
    return judge_caching(*seen) if task.kind is TaskType.CACHE else judge_outcome(*seen, watch.checkpoints)


def _stays(gpu: str, pids: Sequence[int]) -> Reason:
    shown = ", ".join(str(pid) for pid in pids[:5])
    if len(pids) == 1:
        return Reason.of(
            "{gpu} stays draining: of its last attempt process {pid} is still there",
            "stays_draining",
            gpu=gpu,
            pid=shown,
        )
    return Reason.of(
        "{gpu} stays draining: of its last attempt processes {pids} are still there",
        "stays_draining_many",
        gpu=gpu,
        pids=shown,
    )


def _show_outcome(outcome: Outcome, watch: AttemptWatch | None) -> dict[str, object]:
    seconds = watch.seconds if outcome.seconds is None and watch is not None else outcome.seconds
    return {**asdict(outcome), "phrases": sorted(outcome.phrases), "seconds": seconds}
