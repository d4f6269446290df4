"""What an export makes: one version of a checkpoint, and the model that is made of it."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from api.domain.tasks.training import PlannedExport, TrainingTask
from api.jobs.exports.request import MARK, MOST_MARK_BYTES, ExportRequest
from api.util.files.foreign_files import read, status_of
from api.util.files.foreign_trees import list_names
from api.util.http.base_path import BASE_PATH

#: Directories above a saved model that belong to the service: it is one level below its run directory.
MODEL_LEVELS = 4

#: The name of the weights in the result of an export by the trainer.
FILE_NAME = "file_name"


class ExportMethod(StrEnum):
    """How an export makes a model."""

    DIRECT = "direct"  #: of the checkpoint's files
    RESUME = "resume"  #: the trainer resumes a copy of the checkpoint, makes one step and saves a model


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """The order of an export, as it is stored with a task that makes it directly."""

    task_id: str  #: the training
    run: str  #: the name of its run directory
    checkpoint: str
    written_at: str  #: when the checkpoint was written
    target: str  #: the name of the model's directory in the run directory
    file_name: str | None  #: of the weights; None until the trainer has saved them
    method: ExportMethod = ExportMethod.DIRECT

    @classmethod
    def of(cls, task_id: str, request: ExportRequest) -> "ExportOrder":
        """Return the order behind a request to the program."""
        run, file_name = Path(request.run_dir).name, str(request.options["file_name"])
        return cls(task_id, run, request.checkpoint, request.written_at, request.target, file_name)

    @classmethod
    def by_trainer(cls, planned: PlannedExport, file_name: str | None = None) -> "ExportOrder":
        """Return the order of an export by the trainer."""
        given = (planned.task_id, planned.run, planned.checkpoint, planned.written_at)
        return cls(*given, f"step{planned.step}", file_name, ExportMethod.RESUME)

    @classmethod
    def of_task(cls, task: TrainingTask) -> "ExportOrder":
        """Return the order of an export."""
        if task.plan.export is not None:
            return cls.by_trainer(task.plan.export, (task.result or {}).get(FILE_NAME))
        return cls(**task.request.config["order"])

    def as_json(self) -> dict[str, Any]:
        """Return the order of a direct export as it is stored."""
        return {name: value for name, value in asdict(self).items() if name != "method"}

    @property
    def key(self) -> str:
        """The key that requests for the same version of a checkpoint have in common."""
        by = "" if self.method is ExportMethod.DIRECT else f" {self.method}"
        return f"export {self.task_id} {self.run}/{self.checkpoint} {self.written_at}{by}"

    @property
    def step(self) -> int:
        """The step of the model."""
        return int(self.target.removeprefix("step"))

    @property
    def path(self) -> str | None:
        """The path of the weights among the training's files; None until their name is known."""
        return None if self.file_name is None else f"{self.run}/{self.target}/{self.file_name}"

    @property
    def url(self) -> str | None:
        """The address of the weights in this API; None until their name is known."""
        return None if self.path is None else f"{BASE_PATH}/training/{self.task_id}/artifacts/{self.path}"

    @property
    def mark(self) -> dict[str, str]:
        """The content of the file beside an exported model that says of which checkpoint it was made."""
        return {"checkpoint": self.checkpoint, "written_at": self.written_at}

    def find_model(self, directory: Path) -> str | None:
        """Return the name of the weights of a saved model, from an export of this checkpoint or from the trainer.

        None: there is none, or it was made of another version of the checkpoint.
        """
        name = find_weights(directory)
        if name is None:
            return None
        try:
            mark = orjson.loads(read(str(directory / MARK), MOST_MARK_BYTES, MODEL_LEVELS))
        except FileNotFoundError:
            return name
        except (OSError, ValueError):
            return None
        return name if mark == self.mark else None


def find_weights(directory: Path) -> str | None:
    """Return the name of the largest file of weights in a saved model's directory; None if there is none."""
    sizes: dict[str, int] = {}
    try:
        for name in list_names(str(directory), MODEL_LEVELS)[1]:
            if name.endswith(".safetensors"):
                sizes[name] = status_of(str(directory / name), MODEL_LEVELS).st_size
    except OSError:
        return None
    return max((name for name, size in sizes.items() if size), key=lambda name: sizes[name], default=None)
