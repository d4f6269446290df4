"""A task that occupies GPUs, as the registry keeps it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from api.domain.reason import Words


class TaskType(StrEnum):
    """What a task does on its GPUs."""

    TRAINING = "training"
    PREPROCESSING = "preprocessing"
    DOWNLOAD = "download"
    CACHE = "cache"  #: caches a dataset ahead, as a training would
    PUSH = "push"
    EXTERNAL = "external"


#: How a task id begins, by type.
TASK_ID_KINDS = {
    TaskType.TRAINING: "train",
    TaskType.PREPROCESSING: "preprocess",
    TaskType.DOWNLOAD: "dl",
    TaskType.CACHE: "cache",
    TaskType.PUSH: "push",
    TaskType.EXTERNAL: "ext",
}


class Keep(Enum):
    """KEEP, given in place of a new value, leaves the old one; None would say that it is no longer known."""

    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process: its pid, and its start in the host's own unit, which tells it from a later one with the same pid."""

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
    owner: str | None = None  #: the user that registered it; None where no keys were asked for
    is_started_here: bool = False  #: a training, whose process the service itself has started
    quarantine: Words | None = None  #: why nobody gets its GPUs: an attempt that no task knows lives on them
    hold: Words | None = None  #: why nobody gets its GPU, which nobody has: it is held back
    is_last: bool = False  #: nobody gets its GPU afterwards


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
    owner: str | None  #: the user that registered it; null where no keys were asked for
