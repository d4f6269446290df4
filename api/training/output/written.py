"""What trainings have written so far, read by their trainers."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.domain.tasks.training import TaskSummary
from api.files.task_files import TaskFiles, TaskStorage
from api.trainers.trainer import Trainer
from api.training.output.resume_points import find_checkpoints
from api.training.views import CheckpointList


@dataclass(frozen=True, slots=True)
class TrainingOutput:
    """The files of trainings in the storage directory. Each trainer knows its own layout."""

    storage: TaskStorage
    trainers: Mapping[str, Trainer]  #: by name

    def files(self, task_id: str) -> TaskFiles:
        """Return the paths of a task's files."""
        return self.storage.files(task_id)

    def find_checkpoints(self, task: TaskSummary) -> CheckpointList:
        """Return the checkpoints of a task. Raise StorageGone, or OSError if they cannot be read."""
        self.storage.require()
        return find_checkpoints(self.trainers.get(task.trainer), self.files(task.task_id).output)
