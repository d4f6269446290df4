"""Takes up what programs have made of items: in a thread of its own, so that the training loop does not wait for it."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from api.domain.cause import Cause, CauseCode
from api.domain.training import TrainingTask
from api.errors import DatabaseUnavailable, ServiceError
from api.training.attempts.harvest import Harvest
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two tries while database or disk are in trouble, and for how long that is tried.
RETRY_SECONDS = 5.0
PASSING_SECONDS = 600.0


class TakesUp(Protocol):
    """Makes a version of what one program has made."""

    def take_up(self, task: TrainingTask, output_dir: Path) -> Harvest:
        """The result. Asked again it gives the same. Raises ServiceError, OSError, ValueError."""
        ...


class WorkHarvester:
    """Harvests one task after the other; `wake` has the training loop look at once."""

    def __init__(self, by_trainer: Mapping[str, TakesUp], clock: Clock, wake: Callable[[], None]) -> None:
        """`by_trainer` says who takes up what, by the name of the trainer that has executed the task."""
        self._by_trainer = by_trainer
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[TrainingTask, Path]] = {}
        self._done: dict[str, Harvest] = {}
        self._since: dict[str, float] = {}
        self._thread = PeriodicThread("harvest", RETRY_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what is not taken up yet is asked for again by the next server."""
        self._thread.stop()

    def harvest(self, task: TrainingTask, output_dir: Path) -> Harvest | None:
        """What a task has made; None while it is being taken up."""
        if task.trainer not in self._by_trainer:
            return Harvest()
        with self._lock:
            done = self._done.pop(task.task_id, None)
            if done is not None:
                return done
            self._waiting.setdefault(task.task_id, (task, output_dir))
        self._thread.trigger()
        return None

    def run_once(self) -> None:
        """Takes up what waits; what meets passing trouble waits on."""
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

    def _take_up(self, task: TrainingTask, output_dir: Path) -> Harvest | None:
        try:
            return self._by_trainer[task.trainer].take_up(task, output_dir)
        except (DatabaseUnavailable, OSError) as error:
            since = self._since.setdefault(task.task_id, self._clock.monotonic())
            if self._clock.monotonic() - since < PASSING_SECONDS:
                logger.warning(
                    "a result cannot be taken up yet", extra={"task_id": task.task_id, "problem": str(error)}
                )
                return None
            return _failed(str(error))
        except (ServiceError, ValueError, KeyError, TypeError) as error:
            logger.warning("a result cannot be taken up", extra={"task_id": task.task_id, "problem": str(error)})
            return _failed(str(error))


def _failed(why: str) -> Harvest:
    cause = Cause.of(
        CauseCode.TRAINER_ERROR,
        "result_not_taken",
        "The work is done, but its result could not be kept: {why}",
        "Set right what is named here, and start it again: what was made is not made twice.",
        why=why,
    )
    return Harvest(cause=cause)
