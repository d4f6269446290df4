"""A task that occupies GPUs, as the registry keeps it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from api.models.reason import Words


class TaskType(StrEnum):
    """What a task does on its GPUs."""

    TRAINING = "training"
    PREPROCESSING = "preprocessing"
    DOWNLOAD = "download"
    EXTERNAL = "external"


#: How a task id begins, by type.
TASK_ID_KINDS = {
    TaskType.TRAINING: "train",
    TaskType.PREPROCESSING: "preprocess",
    TaskType.DOWNLOAD: "dl",
    TaskType.EXTERNAL: "ext",
}


class Keep(Enum):
    """Stands for a value that stays as it is, where None means that it is no longer known."""

    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told apart from a later one with the same pid by its start, in the host's own measure."""

    pid: int
    start: float


@dataclass(frozen=True, slots=True)
class RegisteredTask:
    """A holder of GPUs. Progress in %, time left in seconds; both null until the program says them."""

    task_id: str
    task_type: TaskType
    gpu_uuids: tuple[str, ...]
    started_at: datetime
    description: str | None = None
    process: ProcessIdentity | None = None
    progress: float | None = None
    estimated_remaining_time: float | None = None
    updated_at: datetime | None = None
    serial: int = 0  #: given by the store: tasks are listed in its order
    has_ended: bool = False  #: it holds its GPUs only until their memory is back
    quarantine: Words | None = None  #: why they are kept from everybody: an attempt lives on them that nobody knows


@dataclass(frozen=True, slots=True)
class TaskView:
    """A registered task as the API shows it."""

    task_id: str
    task_type: TaskType
    gpu_ids: tuple[int | None, ...]
    gpu_uuids: tuple[str, ...]
    description: str | None
    pid: int | None
    progress: float | None
    estimated_remaining_time: float | None
    started_at: datetime
    updated_at: datetime | None
