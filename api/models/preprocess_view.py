"""A task that makes a dataset of what was uploaded, as it is answered."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.models.upload import UploadProblem


class PreprocessStatus(StrEnum):
    """How far such a task is."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class PreprocessMetadata:
    """What a clip is, as it lies in the dataset. Unknown is null."""

    fps: float | None
    resolution: str | None  #: such as 512x512
    duration: float | None  #: seconds
    frame_count: int | None
    original_video: str | None  #: what its client called it


@dataclass(frozen=True, slots=True)
class PreprocessResult:
    """What a task has made. Of an archive, `video_path` and its facts are null: the dataset lists its items."""

    dataset: str
    version: int
    video_path: str | None  #: the path of the item in the dataset
    prompt: str | None
    metadata: PreprocessMetadata


@dataclass(frozen=True, slots=True)
class PreprocessView:
    """A task as it is answered."""

    task_id: str
    status: PreprocessStatus
    progress: float  #: 0 to 100
    current_step: str | None
    eta_seconds: float | None
    result: PreprocessResult | None
    problem: UploadProblem | None  #: why it has failed
    created_at: datetime
    updated_at: datetime
