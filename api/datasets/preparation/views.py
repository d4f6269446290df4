"""API views of preprocessing tasks, including those of form uploads."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.datasets.views import CaptionDifference
from api.domain.datasets.upload import UploadProblem
from api.domain.reason import Reason, ReasonCode
from api.domain.tasks.cause import Cause
from api.domain.tasks.progress import NO_PROGRESS, ProgressReport
from api.domain.tasks.training import TaskStatus, TaskSummary, TrainingTask
from api.training.views import StopView
from api.util.copying import copy_fields


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


_STATUSES = {
    TaskStatus.QUEUED: PreprocessStatus.QUEUED,
    TaskStatus.STARTING: PreprocessStatus.PROCESSING,
    TaskStatus.RUNNING: PreprocessStatus.PROCESSING,
    TaskStatus.STOPPING: PreprocessStatus.PROCESSING,
    TaskStatus.COMPLETED: PreprocessStatus.COMPLETED,
    TaskStatus.FAILED: PreprocessStatus.FAILED,
    TaskStatus.STOPPED: PreprocessStatus.CANCELLED,
}

#: The task statuses of each preprocessing status.
STATUSES = {shown: tuple(status for status, other in _STATUSES.items() if other is shown) for shown in PreprocessStatus}

#: The current step if the program reports none.
_STEPS = {
    TaskStatus.QUEUED: "waiting",
    TaskStatus.STARTING: "starting",
    TaskStatus.RUNNING: "working",
    TaskStatus.STOPPING: "stopping",
}


def show_preprocess(task: TaskSummary, live: ProgressReport | None, reason: Reason | None) -> PreprocessView:
    """Return the view of a preprocessing task; `live` is more recent than the progress in the database."""
    report = live or task.progress or NO_PROGRESS
    progress, config = report.progress, task.request.config if isinstance(task, TrainingTask) else {}
    given = config.get("input", {})
    is_done = task.status is TaskStatus.COMPLETED
    stop = task.stop
    return copy_fields(
        PreprocessView,
        task,
        status=_STATUSES[task.status],
        work=task.trainer,
        dataset=f"{given['dataset']}@{given['version']}" if given else None,
        model_type=task.model_type or None,
        progress=100.0 if is_done else progress.overall_progress,
        current_step=_current_step(task, report),
        items_done=progress.current_step,
        items_total=progress.total_steps,
        eta_seconds=progress.eta_seconds if task.status.is_active else None,
        waiting_reason=None if reason is None else reason.text,
        waiting_reason_code=None if reason is None else reason.said,
        warnings=report.warnings,
        failure=task.cause if task.status is TaskStatus.FAILED else None,
        stop=None
        if stop is None
        else StopView(stop.requested_at, stop.actor, stop.force, stop.timeout_seconds, stop.rung, stop.keep_lora),
        result=None if task.result is None else PreprocessResult.from_json(task.result),
        request=config.get("wish", {}),
    )


def _current_step(task: TaskSummary, report: ProgressReport) -> str | None:
    if task.status.is_finished:
        return None
    progress = report.progress
    if task.status is TaskStatus.RUNNING and progress.total_steps and progress.current_step == progress.total_steps:
        return "keeping the result"
    if task.status is TaskStatus.RUNNING and progress.activity:
        return progress.activity
    return _STEPS[task.status]
