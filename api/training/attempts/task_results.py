"""The interface to collectors of task results. A task other than a training ends after its result is collected."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from api.domain.tasks.cause import Cause
from api.domain.tasks.training import TrainingTask


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The result of a task for the API, or the cause why it could not be collected."""

    result: Mapping[str, Any] | None = None
    cause: Cause | None = None


class TaskResultRecorder(Protocol):
    """Collects results of tasks of one kind. Calls return immediately; the work is done in the background."""

    def collect(self, task: TrainingTask, output_dir: Path) -> TaskResult | None:
        """Return the result of a task whose program has completed, or None while it is being collected.

        After a restart it returns the existing result and creates nothing twice.
        """


class FakeTaskResultRecorder:
    """Returns the result that a test sets."""

    def __init__(self, given: TaskResult | None = None) -> None:
        self.given = given
        self.requested: list[str] = []

    def collect(self, task: TrainingTask, output_dir: Path) -> TaskResult | None:
        """Return the result that the test has set."""
        self.requested.append(task.task_id)
        return self.given
