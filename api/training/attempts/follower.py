"""Follow attempts from the start of their processes to their recorded end."""

from collections.abc import Callable, Sequence

from api.domain.tasks.training import Attempt, AttemptStatus, TaskStatus, TaskSummary
from api.executors.executor import AttemptRef, Observation, Phase
from api.training.attempts.checks import AttemptChecks
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.stop_delivery import AttemptStopping
from api.training.attempts.watch.watches import Watches
from api.training.records.attempt_store import TaskStores
from api.util.clock import Clock
from api.util.measures import TASK_ID, attempt_starts, starts


class AttemptFollower:
    """Records that attempts run, checks them, passes on their stops, and ends them. One thread calls it."""

    def __init__(
        self,
        stores: TaskStores,
        watches: Watches,
        checks: AttemptChecks,
        stopping: AttemptStopping,
        ending: AttemptEnding,
        clock: Clock,
        note_location: Callable[[Attempt, str, Sequence[int]], None],
    ) -> None:
        """Create the follower. `note_location` records where a cluster runs an attempt."""
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._watches = watches
        self._checks = checks
        self._stopping = stopping
        self._ending = ending
        self._clock = clock
        self._note_location = note_location

    def follow(
        self, task: TaskSummary, attempt: Attempt, ref: AttemptRef, seen: Observation, save_seconds: float
    ) -> bool:
        """Handle an attempt that runs or has ended. Return whether it has ended.

        The notes of its watch are saved every `save_seconds`.
        """
        if seen.gpu_indices is not None:
            self._note_location(attempt, seen.node, seen.gpu_indices)
        watch = self._watches.watch_over(attempt, ref, seen)
        if seen.phase is Phase.ENDED and seen.outcome is not None:
            if seen.outcome.started_at is not None:
                self._note_running(task, attempt, seen)
            self._stopping.record_rung(task, watch, seen.outcome.stop_rung)
            is_over = self._ending.end(self._tasks.get_summary(task.task_id), watch, seen.outcome)
            if is_over:
                self._watches.forget(attempt)
            return is_over
        if seen.process is not None:
            self._note_running(task, attempt, seen)
        try:
            watch.poll(save_seconds)
            self._checks.check(task, watch)
            self._stopping.prepare_leave(watch)
        finally:
            # It must be possible to stop it even if its files cannot be read.
            if task.status is TaskStatus.STOPPING and task.stop is not None:
                self._stopping.stop(task, task.stop, watch, seen)
            elif seen.must_leave and watch.ordered is None:
                self._stopping.save_before_leave(watch)
        return False

    def _note_running(self, task: TaskSummary, attempt: Attempt, seen: Observation) -> None:
        if attempt.status in (AttemptStatus.CLAIMED, AttemptStatus.SUBMITTED):
            if attempt.status is AttemptStatus.CLAIMED:
                self._attempts.mark_submitted(attempt)
            now = self._clock.now()
            self._attempts.mark_running(attempt, seen.process, now)
            kind, found_by = (task.kind,), (TASK_ID, task.task_id)
            attempt_starts.observe(max(0.0, (now - attempt.created_at).total_seconds()), kind, found_by)
            if task.started_at is None:
                starts.observe(max(0.0, (now - task.created_at).total_seconds()), kind, found_by)
