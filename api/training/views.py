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
    """A requested stop."""

    requested_at: datetime
    actor: str
    force: bool
    timeout_seconds: float | None
    rung: StopRung | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A training in a list."""

    task_id: str
    kind: TaskType  #: training, or cache for a task that builds the cache of a dataset
    name: str | None
    description: str | None
    owner: str | None  #: the user that owns it; null if the service has no keys
    model_type: str
    trainer: str
    status: TaskStatus
    priority: int
    gpu_count: int
    gpu_id: int | None  #: index of its first GPU
    gpu_name: str | None
    gpu_ids: tuple[int | None, ...]
    gpu_uuids: tuple[str, ...]
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations
    queue_position: int | None  #: position in the queue, from 1; null if it does not wait
    estimated_start: datetime | None  #: null if it does not wait
    warning: str | None
    warning_code: ReasonCode | None  #: code and parameters of the warning, for programs and translations
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
    """The current readings of a training's GPU."""

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
    """One run of a training's program."""

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
    """All details of a training."""

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
    log_lost_bytes: int | None  #: bytes that were printed but not stored; None if unknown
    run_dir: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedTask(TaskDetails):
    """A training with a requested stop. Results are null until it has ended."""

    stopped_at: datetime | None
    checkpoint_saved: bool | None  #: whether a complete checkpoint was saved after the request
    last_checkpoint: str | None  #: name of the last complete checkpoint
    training_time: float | None  #: seconds, over all attempts


@dataclass(frozen=True, slots=True)
class TaskProgressView:
    """The progress of a training."""

    task_id: str
    status: TaskStatus
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations
    warning: str | None
    warning_code: ReasonCode | None  #: code and parameters of the warning, for programs and translations
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
    waiting_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations


@dataclass(frozen=True, slots=True)
class FindingView:
    """An error or warning about a request: JSON pointer, message and remedy."""

    pointer: str
    message: str
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Validation:
    """The result of checking a request."""

    valid: bool
    errors: tuple[FindingView, ...]
    warnings: tuple[FindingView, ...]
    plan: TrainingPlan | None
    gpus: PlannedGPUs | None


class XAxis(StrEnum):
    """The x-axis of a series."""

    STEP = "step"
    EPOCH = "epoch"


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One value, or null if it was not a number. One of `step` and `epoch` is null."""

    step: int | None
    epoch: int | None
    value: float | None
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A metric over steps or epochs. `total` counts all values; `data` has at most `limit` of them."""

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
    """A file that a training made. `path` is its path in the download URL."""

    path: str
    download_name: str  #: suggested file name
    kind: str  #: model, checkpoint, sample, events, config, other
    size_bytes: int
    modified_at: datetime
    is_complete: bool  #: a file of a checkpoint is complete when the checkpoint is


@dataclass(frozen=True, slots=True)
class Deleted:
    """The deleted task, and the directory of its remaining files."""

    task_id: str
    files_deleted: bool
    directory: str | None
