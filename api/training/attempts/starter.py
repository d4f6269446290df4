"""Start the supervisors of attempts."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from api.domain.reason import Reason
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import Attempt, AttemptStatus, TaskStatus, TaskSummary, TrainingTask
from api.executors.executor import AttemptRef, EngineFull, EngineUnavailable, Executor, Observation, Phase
from api.trainers.trainer import Trainer
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.outcomes import CannotStart, could_not_start, stopped_before_start
from api.training.attempts.preparation import AttemptPreparation
from api.training.attempts.watch.watches import UNKNOWN_SECONDS, Watches
from api.training.output.resume_points import find_resume_point, plan_attempt
from api.training.records.attempt_store import TaskStores
from api.util.measures import spanning

logger = logging.getLogger(__name__)

#: Limit of consecutive supervisor starts for one attempt.
SUBMISSIONS = 5


class AttemptStarter:
    """Starts attempts, and supervisors that take over from lost ones. One thread calls it."""

    def __init__(
        self,
        stores: TaskStores,
        preparation: AttemptPreparation,
        executor: Executor,
        trainers: Mapping[str, Trainer],
        watches: Watches,
        ending: AttemptEnding,
    ) -> None:
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._preparation = preparation
        self._executor = executor
        self._trainers = trainers
        self._watches = watches
        self._ending = ending
        self._submissions: dict[str, int] = {}
        self._refusals: dict[str, OSError] = {}  #: error of the latest submission, by attempt uid

    def forget(self, attempt: Attempt) -> None:
        """Forget the submissions of an attempt that runs or has ended."""
        self._submissions.pop(attempt.uid, None)
        self._refusals.pop(attempt.uid, None)

    def clear(self) -> None:
        """Forget all submissions."""
        self._submissions.clear()
        self._refusals.clear()

    def start(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef) -> bool:
        """Start a supervisor for an attempt without one: its first, or a successor of a lost one."""
        with spanning("start attempt", {"diffusion_pipe.task_id": task.task_id, "diffusion_pipe.attempt": attempt.uid}):
            return self._start_supervisor(task, attempt, ref)

    def _start_supervisor(self, task: TaskSummary, attempt: Attempt, ref: AttemptRef) -> bool:
        is_new = attempt.status is AttemptStatus.CLAIMED
        if is_new and task.status is TaskStatus.STOPPING:
            return self._ending.abandon(task, attempt, stopped_before_start(task.stop))
        tries = self._submissions[attempt.uid] = self._submissions.get(attempt.uid, 0) + 1
        try:
            if tries > SUBMISSIONS and not self._executor.survivors(ref):
                never = Reason.of(
                    "its supervisor was started {times} times in a row but is not running",
                    "supervisor_never_there",
                    times=SUBMISSIONS,
                )
                raise self._refusals.get(attempt.uid) or CannotStart(never)
            full = self._tasks.get(task.task_id)
            if is_new:
                full = self._plan_attempt(full, attempt)
            submission = self._preparation.prepare(full, attempt, self._trainers[full.trainer], is_new)
            # A running attempt is submitted so that a supervisor takes it over.
            if attempt.status is AttemptStatus.RUNNING or self._attempts.mark_submitted(attempt):
                self._executor.submit(submission)
        except EngineFull:
            return self._wait_for_slot(task, attempt)
        except (CannotStart, OSError) as error:
            if isinstance(error, EngineUnavailable) and task.status is not TaskStatus.STOPPING:
                self._wait_for_cluster(task, attempt, error)
                return False
            if isinstance(error, OSError):
                self._refusals[attempt.uid] = error
            is_temporary = isinstance(error, OSError) and tries <= SUBMISSIONS
            if is_temporary or self._executor.survivors(ref):
                # A single disk error may be temporary. While processes of the attempt run, its GPUs are in use.
                return False
            self._forget(attempt)
            return self._ending.abandon(task, attempt, could_not_start(error))
        return False

    def _plan_attempt(self, task: TrainingTask, attempt: Attempt) -> TrainingTask:
        """Store the plan of an attempt. A retry may begin elsewhere than the attempt before."""
        if task.kind is not TaskType.TRAINING:
            return task
        trainer, checkpoint = self._trainers[task.trainer], attempt.resumed_from
        point = find_resume_point(trainer, attempt.run_dir, checkpoint, task.resume)
        plan = plan_attempt(task.plan, checkpoint is not None, point)
        if plan == task.plan:
            return task
        self._tasks.set_plan(attempt, plan)
        return replace(task, plan=plan)

    def _wait_for_slot(self, task: TaskSummary, attempt: Attempt) -> bool:
        """Retry without limit; the executor reports the reason. Return whether it was stopped in the meantime."""
        self._submissions.pop(attempt.uid, None)
        if task.status is not TaskStatus.STOPPING:
            return False
        self._forget(attempt)
        return self._ending.abandon(task, attempt, stopped_before_start(task.stop))

    def _wait_for_cluster(self, task: TaskSummary, attempt: Attempt, error: EngineUnavailable) -> None:
        """Retry without limit, because an unavailable cluster is not the attempt's fault."""
        self._submissions.pop(attempt.uid, None)
        seen = Observation(Phase.UNKNOWN, "", reason=error.strerror or str(error), age=UNKNOWN_SECONDS)
        self._watches.note_unknown(task, attempt, seen)

    def _forget(self, attempt: Attempt) -> None:
        self.forget(attempt)
        self._watches.forget(attempt)
