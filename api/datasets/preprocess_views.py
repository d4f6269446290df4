"""API views of preprocessing tasks, including those of form uploads."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.datasets.views import CaptionDifference
from api.domain.cause import Cause
from api.domain.reason import ReasonCode
from api.domain.upload import UploadProblem
from api.training.views import StopView


class PreprocessStatus(StrEnum):
    """The status of a preprocessing task."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ItemReport:
    """A problem of one item."""

    path: str  #: path of the item in the dataset
    problem: str  #: the reason as text


@dataclass(frozen=True, slots=True)
class PreprocessMetadata:
    """Facts about a single resulting file; all null if the dataset has more."""

    fps: float | None = None
    resolution: str | None = None  #: such as 512x512
    duration: float | None = None  #: seconds
    frame_count: int | None = None
    original_video: str | None = None  #: path of the video that it was made from; null if none


@dataclass(frozen=True, slots=True)
class PreprocessResult:
    """The result of a completed task: a dataset version."""

    dataset: str  #: name of the dataset
    version: int  #: number of the new version
    reference: str | None = None  #: both as a reference for training requests: name@3
    manifest: str | None = None  #: sha256:…
    items: int | None = None  #: number of items; null if unknown
    made: int = 0  #: new files
    reused: int = 0  #: files of earlier tasks with the same source and settings
    unchanged: int = 0  #: unchanged items
    dropped: int = 0  #: pieces that are too short
    problem_count: int = 0  #: number of all problems
    problems: tuple[ItemReport, ...] = ()  #: the first problems
    dataset_toml: str | None = None  #: a file for the trainer that names this version
    video_path: str | None = None  #: for a single file: its path in the dataset
    prompt: str | None = None  #: for a single file: its caption
    metadata: PreprocessMetadata | None = None  #: facts about a single resulting file; null otherwise
    previous: int | None = None  #: captioning: the version before, for `restore`
    differences: tuple[CaptionDifference, ...] = ()  #: captioning: the first differences
    difference_count: int | None = None  #: captioning: number of all differences
    seconds_per_question: float | None = None  #: captioning: mean time of an answer

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "PreprocessResult":
        """Return the result with these stored fields, which any version of the service may have written."""
        known = {each.name: stored[each.name] for each in fields(cls) if each.name in stored}
        known["problems"] = tuple(ItemReport(**each) for each in stored.get("problems") or ())
        known["differences"] = tuple(CaptionDifference(**each) for each in stored.get("differences") or ())
        metadata = stored.get("metadata")
        known["metadata"] = None if metadata is None else PreprocessMetadata(**metadata)
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessView:
    """A preprocessing task. Progress is in percent, durations are in seconds."""

    task_id: str
    status: PreprocessStatus
    progress: float | None  #: null until it is known
    current_step: str | None  #: current activity, for display
    eta_seconds: float | None  #: null if unknown or ended
    created_at: datetime
    updated_at: datetime
    work: str = "upload"  #: upload, preprocessing, captioning
    name: str | None = None
    description: str | None = None
    owner: str | None = None
    dataset: str | None = None  #: the source version: name@3
    model_type: str | None = None  #: model type that it prepares for; null if none
    items_done: int | None = None  #: null until it has started
    items_total: int | None = None  #: null until it is known
    waiting_reason: str | None = None
    waiting_reason_code: ReasonCode | None = None
    warning: str | None = None  #: latest problem that did not end it; null if none
    warnings: tuple[str, ...] = ()
    failure: Cause | None = None  #: cause of the failure; null unless it failed
    problem: UploadProblem | None = None  #: why an upload failed
    stop: StopView | None = None  #: the requested stop; null if none
    result: PreprocessResult | None = None  #: the new version; null until it is completed
    started_at: datetime | None = None
    finished_at: datetime | None = None
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaptionEstimate:
    """The estimated work for generating captions. Unknown values are null."""

    endpoint: str  #: host name, or the name of the program
    model: str  #: name of the vision model
    items: int  #: items of the version
    questions: int  #: items that need a caption
    known: int  #: how many of them were answered before
    per_minute: int | None  #: limit of questions per minute; null: none
    seconds_per_question: float | None  #: measured by the latest task with this model
    estimated_seconds: float | None  #: null if nothing was measured yet
    estimated_cost: float | None  #: in the currency of CAPTION_PRICE


@dataclass(frozen=True, slots=True)
class CaptionGeneration:
    """The estimate, and the task; a dry run has no task."""

    dry_run: bool  #: whether nothing was started
    estimate: CaptionEstimate  #: the expected work
    task: PreprocessView | None  #: the started task; null for a dry run
