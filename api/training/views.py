"""Trainings as the API shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.cause import Cause
from api.domain.progress import MetricsView, ProgressView, SpeedView
from api.domain.reason import ReasonCode
from api.domain.task import TaskType
from api.domain.training import AttemptStatus, Checkpoint, StopRung, TaskStatus, TrainingPlan


@dataclass(frozen=True, slots=True)
class StopView:
    """A stop that was asked for."""

    requested_at: datetime
    actor: str
    force: bool
    timeout_seconds: float | None
    rung: StopRung | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A training in a list."""

    task_id: str
    kind: TaskType  #: training, or cache: it only caches a dataset ahead
    name: str | None
    description: str | None
    owner: str | None  #: the user that it belongs to; null where no keys were asked for
    model_type: str
    trainer: str
    status: TaskStatus
    priority: int
    gpu_count: int
    gpu_id: int | None  #: the first of its GPUs
    gpu_name: str | None
    gpu_ids: tuple[int | None, ...]
    gpu_uuids: tuple[str, ...]
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: the same for programs, and in other languages
    queue_position: int | None  #: of one that waits, from 1
    estimated_start: datetime | None  #: of one that waits
    warning: str | None
    warning_code: ReasonCode | None  #: the same for programs, and in other languages
    failure: Cause | None
    stop: StopView | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    attempt_count: int
    retries: int
    restarted_from: str | None
    progress: ProgressView
    metrics: MetricsView
    speed: SpeedView


@dataclass(frozen=True, slots=True)
class GPUStats:
    """What a GPU of a training shows now."""

    gpu_id: int | None
    uuid: str
    name: str | None
    utilization_gpu: int | None
    memory_used: int | None
    memory_total: int | None
    temperature: int | None
    power_usage: float | None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One try at a training."""

    attempt: str
    number: int
    status: AttemptStatus
    node: str
    gpu_ids: tuple[int, ...]
    gpu_uuids: tuple[str, ...]
    master_port: int | None
    pid: int | None
    resumed_from: str | None
    run_dir: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    first_step: int | None
    last_step: int | None
    exit_code: int | None
    signal: int | None
    failure: Cause | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetails(TaskRow):
    """Everything about a training."""

    request: Mapping[str, Any]
    config: Mapping[str, Any]
    plan: TrainingPlan
    estimated_duration: float | None  #: seconds from its start to its end
    system_stats: tuple[GPUStats, ...]
    checkpoints: tuple[Checkpoint, ...]
    attempts: tuple[AttemptView, ...]
    warnings: tuple[str, ...]
    output_dir: str
    logs_path: str
    log_lost_bytes: int | None  #: printed, and in no log; None when nobody has told
    run_dir: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedTask(TaskDetails):
    """A training that was asked to stop; unknown until it has ended."""

    stopped_at: datetime | None
    checkpoint_saved: bool | None  #: whether a whole checkpoint was written since it was asked
    last_checkpoint: str | None  #: the name of the last whole one
    training_time: float | None  #: seconds, over all attempts


@dataclass(frozen=True, slots=True)
class TaskProgressView:
    """How far a training is, and how well it goes."""

    task_id: str
    status: TaskStatus
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: the same for programs, and in other languages
    warning: str | None
    warning_code: ReasonCode | None  #: the same for programs, and in other languages
    updated_at: datetime
    progress: ProgressView
    metrics: MetricsView
    speed: SpeedView


@dataclass(frozen=True, slots=True)
class PlannedGPUs:
    """The GPUs that a request would get now, or why it would wait."""

    gpu_ids: tuple[int, ...]
    gpu_uuids: tuple[str, ...]
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: the same for programs, and in other languages


@dataclass(frozen=True, slots=True)
class FindingView:
    """Something about a request: where (a JSON pointer), what, and what to do about it."""

    pointer: str
    message: str
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Validation:
    """What starting a request would find and do."""

    valid: bool
    errors: tuple[FindingView, ...]
    warnings: tuple[FindingView, ...]
    plan: TrainingPlan | None
    gpus: PlannedGPUs | None


class XAxis(StrEnum):
    """What a series is over."""

    STEP = "step"
    EPOCH = "epoch"


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One value; null is a value that was no number. One of `step` and `epoch` is null."""

    step: int | None
    epoch: int | None
    value: float | None
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A metric over steps or epochs. `total`: how many values there are; `data` has at most `limit` of them."""

    metric: str
    type: str
    data: tuple[SeriesPoint, ...]
    total: int
    nan_count: int
    is_downsampled: bool
    available: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckpointList:
    """The checkpoints of a training, oldest first."""

    run_dir: str | None
    checkpoints: tuple[Checkpoint, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a training made; `path` is what a download asks for."""

    path: str
    download_name: str  #: what the download is called
    kind: str  #: model, checkpoint, sample, events, config, other
    size_bytes: int
    modified_at: datetime
    is_complete: bool  #: a checkpoint's file counts once the checkpoint does


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted, and where the files are that were kept."""

    task_id: str
    files_deleted: bool
    directory: str | None
