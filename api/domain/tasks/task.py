"""A task that occupies GPUs, as stored in the registry."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from api.domain.reason import ReasonOrText


class TaskType(StrEnum):
    """What a task does on its GPUs."""

    TRAINING = "training"
    PREPROCESSING = "preprocessing"
    DOWNLOAD = "download"
    CACHE = "cache"  #: builds the cache of a dataset before a training needs it
    REHEARSAL = "rehearse"  #: makes a few steps of a training to measure it
    PUSH = "push"
    EXPORT = "export"  #: makes a saved model of a training's checkpoint
    SAMPLE = "sample"  #: renders samples of a training's saved models
    EXTERNAL = "external"


#: Prefix of a task id, by type.
TASK_ID_KINDS = {
    TaskType.TRAINING: "train",
    TaskType.PREPROCESSING: "preprocess",
    TaskType.DOWNLOAD: "dl",
    TaskType.CACHE: "cache",
    TaskType.REHEARSAL: "rehearse",
    TaskType.PUSH: "push",
    TaskType.EXPORT: "export",
    TaskType.SAMPLE: "sample",
    TaskType.EXTERNAL: "ext",
}


class Keep(Enum):
    """A marker that leaves a value unchanged. None would mean that the value is no longer known."""

    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process: its pid and its start time in the host's own unit. Together they exclude a reused pid."""

    pid: int
    start: float


@dataclass(frozen=True, slots=True)
class RegisteredTask:
    """A task that holds GPUs. Progress in %, remaining time in seconds; both None until the program reports them."""

    task_id: str
    task_type: TaskType
    gpu_uuids: tuple[str, ...]
    started_at: datetime
    description: str | None = None
    process: ProcessIdentity | None = None
    progress: float | None = None
    estimated_remaining_time: float | None = None
    updated_at: datetime | None = None
    serial: int = 0  #: sort key, assigned by the store
    has_ended: bool = False  #: it holds its GPUs only until their memory is free
    owner: str | None = None  #: the user that registered it; None if the service has no keys
    is_started_here: bool = False  #: a training whose process this service started
    quarantine: ReasonOrText | None = None  #: why its GPUs are unavailable: an orphan runs on them
    hold: ReasonOrText | None = None  #: why its GPU is unavailable although no task has it: a hold
    is_last: bool = False  #: the GPU is not assigned again afterwards


@dataclass(frozen=True, slots=True)
class TaskView:
    """A registered task as the API shows it."""

    task_id: str
    task_type: TaskType  #: kind of the task
    gpu_ids: tuple[int | None, ...]  #: indices of its GPUs; null for one that the driver does not list now
    gpu_uuids: tuple[str, ...]
    description: str | None
    pid: int | None  #: its process, whose end releases the GPUs; null if none was named
    progress: float | None  #: in %, as the program reported; null if it did not
    estimated_remaining_time: float | None  #: seconds, as the program reported; null if it did not
    started_at: datetime
    updated_at: datetime | None  #: when it was last changed; null if unknown
    owner: str | None  #: the user that registered it; null if the service has no keys
