"""Record the results of programs in a thread of its own, so that the training loop does not wait."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.training import TrainingTask
from api.errors import DatabaseUnavailable, ServiceError
from api.training.attempts.task_results import TaskResult
from api.util.clock import Clock
from api.util.periodic import LoopOwner, PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two attempts while the database or the disk fails, and until the task fails.
RETRY_SECONDS = 5.0
MAX_RETRY_SECONDS = 600.0


class RecordsResult(Protocol):
    """Makes a dataset version from the output of one program."""

    def record(self, task: TrainingTask, output_dir: Path) -> TaskResult:
        """Return the result; repeated calls return the same. Raises ServiceError, OSError, ValueError."""
        ...


class ResultRecorder(LoopOwner):
    """Records the results of tasks one after the other; `wake` makes the training loop check for results.

    After a stop the next server records the rest.
    """

    def __init__(self, by_trainer: Mapping[str, RecordsResult], clock: Clock, wake: Callable[[], None]) -> None:
        """Create the recorder.

        `by_trainer` maps the name of a task's trainer to the object that records its results.
        """
        self._by_trainer = by_trainer
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[TrainingTask, Path]] = {}
        self._done: dict[str, TaskResult] = {}
        self._since: dict[str, float] = {}
        self._thread = PeriodicThread("result-recorder", RETRY_SECONDS, self.run_once)

    def collect(self, task: TrainingTask, output_dir: Path) -> TaskResult | None:
        """Return the result of a task; None while it is being recorded."""
        if task.trainer not in self._by_trainer:
            return TaskResult()
        with self._lock:
            done = self._done.pop(task.task_id, None)
            if done is not None:
                return done
            self._waiting.setdefault(task.task_id, (task, output_dir))
        self._thread.trigger()
        return None

    def run_once(self) -> None:
        """Record waiting results; results that meet a temporary failure keep waiting."""
        with self._lock:
            waiting = dict(self._waiting)
        for task_id, (task, output_dir) in waiting.items():
            done = self._take_up(task, output_dir)
            if done is None:
                continue
            with self._lock:
                self._done[task_id] = done
                self._waiting.pop(task_id, None)
            self._since.pop(task_id, None)
            self._wake()

    def _take_up(self, task: TrainingTask, output_dir: Path) -> TaskResult | None:
        try:
            return self._by_trainer[task.trainer].record(task, output_dir)
        except (DatabaseUnavailable, OSError) as error:
            since = self._since.setdefault(task.task_id, self._clock.monotonic())
            if self._clock.monotonic() - since < MAX_RETRY_SECONDS:
                logger.warning("result cannot be recorded yet", extra={"task_id": task.task_id, "problem": str(error)})
                return None
            return _failed(str(error))
        except (ServiceError, ValueError, KeyError, TypeError) as error:
            logger.warning("result cannot be recorded", extra={"task_id": task.task_id, "problem": str(error)})
            return _failed(str(error))


def _failed(why: str) -> TaskResult:
    cause = Cause.of(
        CauseCode.TRAINER_ERROR,
        "result_not_taken",
        "The program has finished, but its result could not be stored: {why}",
        "Fix this problem and start the task again. Finished work is reused.",
        why=why,
    )
    return TaskResult(cause=cause)
