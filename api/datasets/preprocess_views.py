"""Preprocessing tasks, and those that make a dataset of an upload, as they are answered."""

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
    """Where a preprocessing is in its life."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ItemReport:
    """Something about one item that people should know."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class PreprocessMetadata:
    """What a single file became: of a dataset with more of them all is null."""

    fps: float | None = None
    resolution: str | None = None  #: 512x512
    duration: float | None = None  #: seconds
    frame_count: int | None = None
    original_video: str | None = None


@dataclass(frozen=True, slots=True)
class PreprocessResult:
    """What a completed one made: a version of a dataset."""

    dataset: str
    version: int
    reference: str | None = None  #: both, as they can stand in a request for a training: name@3
    manifest: str | None = None  #: sha256:…
    items: int | None = None
    made: int = 0  #: files that were made new
    reused: int = 0  #: files that an earlier one had made of the same source and settings
    unchanged: int = 0  #: items that are as they were
    dropped: int = 0  #: pieces that were too short
    problem_count: int = 0
    problems: tuple[ItemReport, ...] = ()  #: the first of them
    dataset_toml: str | None = None  #: the trainer's file that names this version
    video_path: str | None = None  #: of a single file: its path in the dataset
    prompt: str | None = None  #: of a single file: its caption
    metadata: PreprocessMetadata | None = None
    previous: int | None = None  #: of captions: the version that they were written for, to which `restore` goes back
    differences: tuple[CaptionDifference, ...] = ()  #: of captions: the first of them
    difference_count: int | None = None
    seconds_per_question: float | None = None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "PreprocessResult":
        """What was kept, by whichever version."""
        known = {each.name: kept[each.name] for each in fields(cls) if each.name in kept}
        known["problems"] = tuple(ItemReport(**each) for each in kept.get("problems") or ())
        known["differences"] = tuple(CaptionDifference(**each) for each in kept.get("differences") or ())
        metadata = kept.get("metadata")
        known["metadata"] = None if metadata is None else PreprocessMetadata(**metadata)
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessView:
    """A preprocessing as it is answered. Progress in percent, durations in seconds."""

    task_id: str
    status: PreprocessStatus
    progress: float | None
    current_step: str | None  #: what it is busy with, in words
    eta_seconds: float | None
    created_at: datetime
    updated_at: datetime
    work: str = "upload"  #: upload, preprocessing, captioning
    name: str | None = None
    description: str | None = None
    owner: str | None = None
    dataset: str | None = None  #: what it works on: name@3
    model_type: str | None = None
    items_done: int | None = None
    items_total: int | None = None
    waiting_reason: str | None = None
    waiting_reason_code: ReasonCode | None = None
    warning: str | None = None
    warnings: tuple[str, ...] = ()
    failure: Cause | None = None
    problem: UploadProblem | None = None  #: what is wrong with an upload
    stop: StopView | None = None
    result: PreprocessResult | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaptionEstimate:
    """What captions would take. Unknown is null."""

    endpoint: str  #: its host alone; of a command the name of the program
    model: str
    items: int  #: of the version
    questions: int  #: items that would be asked about
    known: int  #: of them those that were answered before
    per_minute: int | None
    seconds_per_question: float | None  #: of the latest that this model answered here
    estimated_seconds: float | None
    estimated_cost: float | None  #: in the currency of CAPTION_PRICE


@dataclass(frozen=True, slots=True)
class CaptionGeneration:
    """What was asked for, and the task that does it; none after a dry run."""

    dry_run: bool
    estimate: CaptionEstimate
    task: PreprocessView | None
