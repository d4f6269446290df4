"""The watches of the attempts that run here."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from api.domain.tasks.training import Attempt, TaskSummary
from api.executors.executor import AttemptRef, Executor, Observation
from api.trainers.trainer import Trainer
from api.training.attempts.watch.progress_reports import is_unobserved, unobserved_warning
from api.training.attempts.watch.updates import TrainingNews
from api.training.attempts.watch.watch import AttemptWatch
from api.training.records.task_store import TaskStore
from api.util.clock import Clock

logger = logging.getLogger(__name__)

#: Seconds after which an unobservable attempt is reported in its task.
UNKNOWN_SECONDS = 5.0


class Watches:
    """The watches by attempt. One thread changes them; any thread may read."""

    def __init__(
        self,
        tasks: TaskStore,
        trainers: Mapping[str, Trainer],
        executor: Executor,
        news: TrainingNews,
        clock: Clock,
    ) -> None:
        self._tasks = tasks
        self._trainers = trainers
        self._executor = executor
        self._news = news
        self._clock = clock
        self._watches: dict[str, AttemptWatch] = {}

    def get(self, attempt_uid: str) -> AttemptWatch | None:
        """Return the watch of an attempt that runs here, or None."""
        return self._watches.get(attempt_uid)

    def find(self, task_id: str) -> AttemptWatch | None:
        """Return the watch of a task's attempt that runs here, or None."""
        return next((watch for watch in list(self._watches.values()) if watch.attempt.task_id == task_id), None)

    def listening_seconds(self, task_id: str) -> float | None:
        """Return the seconds that a task's attempt runs, or None if it cannot save a checkpoint now."""
        watch = self.find(task_id)
        return None if watch is None or watch.signal_file is None else watch.seconds

    def observe(self, refs: Sequence[AttemptRef]) -> Mapping[str, Observation]:
        """Return what the executor sees of these attempts, by uid."""
        return self._executor.observe(refs)

    @property
    def uids(self) -> Iterable[str]:
        """The uids of the watched attempts."""
        return self._watches.keys()

    def forget(self, attempt: Attempt) -> AttemptWatch | None:
        """End the watch of an attempt, and return it, or None if there is none."""
        return self._watches.pop(attempt.uid, None)

    def clear(self) -> None:
        """End all watches."""
        self._watches.clear()

    def watch_over(self, attempt: Attempt, ref: AttemptRef, seen: Observation) -> AttemptWatch:
        """Return the watch of an attempt that runs or has ended; begin it if there is none. Raise OSError."""
        watch = self._watches.get(attempt.uid)
        if watch is None:
            task = self._tasks.get(attempt.task_id)
            trainer = self._trainers[task.trainer]
            watch = AttemptWatch(task, attempt, ref, trainer, self._executor, self._clock, self._news)
            self._watches[attempt.uid] = watch
        if watch.log_start is None:
            watch.log_start = seen.log_start
        watch.set_training_seconds(seen.seconds if seen.outcome is None else seen.outcome.seconds)
        return watch

    def note_unknown(self, task: TaskSummary, attempt: Attempt, seen: Observation) -> None:
        """Warn that an attempt cannot be observed. It keeps its GPUs, because it may be running."""
        watch = self.get(attempt.uid)
        if watch is not None and seen.age >= UNKNOWN_SECONDS:
            watch.set_stalled(True)
        if seen.age >= UNKNOWN_SECONDS and not is_unobserved(task):
            logger.warning("cannot observe attempt", extra={"attempt": attempt.uid, "reason": seen.reason})
            warning = unobserved_warning(seen.reason or "")
            self._tasks.set_warning(task.task_id, attempt.uid, warning, self._clock.now())
