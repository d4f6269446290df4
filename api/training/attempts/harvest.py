"""The seam to whoever takes up what a task has made that is no training: its end waits for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from api.domain.cause import Cause
from api.domain.training import TrainingTask


@dataclass(frozen=True, slots=True)
class Harvest:
    """What a task has made, as its answers show it; or why that could not be taken up."""

    result: Mapping[str, Any] | None = None
    cause: Cause | None = None


class Harvester(Protocol):
    """Takes up what tasks of one kind have made. It returns at once: the work is done elsewhere."""

    def harvest(self, task: TrainingTask, output_dir: Path) -> Harvest | None:
        """What the task, whose program says that it is done, has made; None while it is still being taken up.

        Asked again after a restart of the service, it gives what was made before, and makes nothing twice.
        """
        ...


class FakeHarvester:
    """Gives what a test says, when it says it."""

    def __init__(self, given: Harvest | None = None) -> None:
        self.given = given
        self.asked: list[str] = []

    def harvest(self, task: TrainingTask, output_dir: Path) -> Harvest | None:
        """What the test has set."""
        self.asked.append(task.task_id)
        return self.given
