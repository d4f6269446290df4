"""Trainings as the API shows them, made by `view_builders`. Progress and pace are in `domain/tasks/progress.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.reason import ReasonCode
from api.domain.samples.training_sample import AutomaticSamplesView, SampledModels
from api.domain.tasks.cause import Cause
from api.domain.tasks.labels import Labels, ListedLabels
from api.domain.tasks.progress import MetricsView, ProgressView, SpeedView
from api.domain.tasks.rehearsal import RehearsalResult
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import AttemptStatus, Checkpoint, StopRung, TaskStatus, TrainingPlan
from api.gpus.power.views import EnergyView
from api.training.output.export_order import ExportMethod


@dataclass(frozen=True, slots=True)
class StopView:
    """A requested stop."""

    requested_at: datetime  #: when the stop was requested
    actor: str  #: who requested it: a user, or a rule
    force: bool  #: whether it skips the checkpoint
    timeout_seconds: float | None  #: seconds for saving the checkpoint; null: STOP_CHECKPOINT_SECONDS
    rung: StopRung | None  #: current step of the stop; null until the supervisor acts
    keep_lora: bool  #: whether a LoRA is made of the last checkpoint afterwards
    #: why the rule of its sweep stopped it, with figures; null if a user requested the stop
    reason: str | None = None
    reason_code: ReasonCode | None = None  #: code and parameters of the reason, for programs and translations


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow(ListedLabels):
    """A training in a list."""

    task_id: str
    #: training, cache for the cache of a dataset, export for a LoRA, rehearse for a rehearsal, or sample for samples
    kind: TaskType
    owner: str | None  #: the user that owns it; null if the service has no keys
    model_type: str
    trainer: str  #: `diffusion_pipe`, or `toy`
    status: TaskStatus  #: what happens to it now
    gpu_count: int  #: number of GPUs that it requested
    gpu_id: int | None  #: index of its first GPU
    gpu_name: str | None  #: name of its first GPU; null if it has none
    gpu_ids: tuple[int | None, ...]
    gpu_uuids: tuple[str, ...]
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations
    queue_position: int | None  #: position in the queue, from 1; null if it does not wait
    estimated_start: datetime | None  #: null if it does not wait
    warning: str | None  #: latest problem that did not end it; null if none
    warning_code: ReasonCode | None  #: code and parameters of the warning, for programs and translations
    failure: Cause | None  #: cause of the failure; null unless `status` is `failed`
    stop: StopView | None  #: the requested stop; null if none
    created_at: datetime
    started_at: datetime | None  #: start of its first attempt; null until then
    finished_at: datetime | None
    updated_at: datetime
    attempt_count: int  #: number of its runs so far
    retries: int  #: automatic retries so far that count for `max_retries`
    restarted_from: str | None  #: id of the task that it repeats; null if it is not a restart
    chosen: str | None  #: the saved model that a user has chosen (epoch2, step500); null if none
    sweep_id: str | None  #: id of the sweep that it belongs to; null if none
    sweep_values: Mapping[str, Any] | None  #: its own values in the sweep, by JSON pointer; null if it is in none
    progress: ProgressView  #: position and remaining time
    metrics: MetricsView  #: loss, learning rate and gradient
    speed: SpeedView  #: steps and examples per second
    energy: EnergyView | None = None  #: of its GPUs; null: unknown


@dataclass(frozen=True, slots=True)
class GPUStats:
    """The current readings of a training's GPU."""

    gpu_id: int | None
    uuid: str
    name: str | None
    utilization_gpu: int | None  #: %; null if unknown
    memory_used: int | None  #: MB; null if unknown
    memory_total: int | None  #: MB; null if unknown
    temperature: int | None  #: °C; null if unknown
    power_usage: float | None  #: W; null if unknown


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One run of a training's program."""

    attempt: str  #: id of the attempt
    number: int  #: from 1, in the order of the attempts
    status: AttemptStatus  #: its own status; the task's status is in the task
    node: str  #: the machine on which it runs
    gpu_ids: tuple[int, ...]  #: indices of its GPUs on that machine when it started
    gpu_uuids: tuple[str, ...]
    master_port: int | None  #: port by which its processes find each other; null if it needs none
    pid: int | None  #: process id on its node; null until it runs
    resumed_from: str | None  #: checkpoint from which it continues; null: it began at step 0
    run_dir: str | None  #: directory that the trainer made for it; null until it exists
    created_at: datetime
    started_at: datetime | None  #: null until its process runs
    ended_at: datetime | None  #: null until it has ended
    first_step: int | None  #: its first step; null until it made one
    last_step: int | None  #: its latest step; null until it made one
    exit_code: int | None  #: null while it runs, if a signal ended it, or if its end was not observed
    signal: int | None  #: number of the signal that ended it; null if there is an exit code
    failure: Cause | None  #: why it failed, or for what it made room; null if neither


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """The model that an export makes."""

    task_id: str  #: the training
    checkpoint: str  #: global_step100
    step: int  #: step of the model: that of the checkpoint, or the next one with the method `resume`
    method: ExportMethod  #: direct: of the checkpoint's files; resume: by the trainer, which makes one more step
    path: str | None  #: among the training's files; null until it is complete
    url: str | None  #: where it is downloaded; null until it is complete


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDetails(TaskRow, Labels):
    """All details of a training."""

    request: Mapping[str, Any]
    config: Mapping[str, Any]  #: effective configuration; read from the TOML text if the task has one
    plan: TrainingPlan  #: what the request became
    estimated_duration: float | None  #: seconds from its start to its end
    system_stats: tuple[GPUStats, ...]  #: current readings of its GPUs; empty unless it runs
    checkpoints: tuple[Checkpoint, ...]  #: oldest first
    attempts: tuple[AttemptView, ...]  #: oldest first
    warnings: tuple[str, ...]
    output_dir: str  #: directory of checkpoints and saved models on the server
    logs_path: str  #: directory of its log on the server
    log_lost_bytes: int | None  #: bytes that were printed but not stored; None if unknown
    run_dir: str | None  #: the trainer's newest directory in `output_dir`; null until it exists
    export: ExportedModel | None  #: what an export makes; null for other kinds
    sampling: SampledModels | None  #: what a task of the kind `sample` renders; null for other kinds
    samples: AutomaticSamplesView | None  #: rendered after its saved models; null: none
    rehearsal: RehearsalResult | None  #: figures of a rehearsal, each null until it is known; null for other kinds
    #: Seconds that a stop with a checkpoint takes, as earlier ones did; null if unknown, or unless it runs.
    stop_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedTask(TaskDetails):
    """A training with a requested stop. Results are null until it has ended."""

    stopped_at: datetime | None  #: when it ended; null while it is stopping
    checkpoint_saved: bool | None  #: whether a complete checkpoint was saved after the request
    last_checkpoint: str | None  #: name of the last complete checkpoint
    training_time: float | None  #: seconds, over all attempts


@dataclass(frozen=True, slots=True)
class TaskProgressView:
    """The progress of a training."""

    task_id: str
    status: TaskStatus  #: what happens to it now
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations
    warning: str | None  #: latest problem that did not end it; null if none
    warning_code: ReasonCode | None  #: code and parameters of the warning, for programs and translations
    updated_at: datetime
    progress: ProgressView  #: position and remaining time
    metrics: MetricsView  #: loss, learning rate and gradient
    speed: SpeedView  #: steps and examples per second


@dataclass(frozen=True, slots=True)
class PlannedGPUs:
    """The GPUs that a request would get now, or why it would wait."""

    gpu_ids: tuple[int, ...]  #: indices of the GPUs that it would get; empty if it would wait
    gpu_uuids: tuple[str, ...]
    waiting_reason: str | None  #: why it would wait; null if it would start now
    waiting_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations


@dataclass(frozen=True, slots=True)
class FindingView:
    """An error or warning about a request: JSON pointer, message and remedy."""

    pointer: str  #: JSON pointer to the field of the request
    message: str  #: what is wrong with it
    remedy: str | None  #: how to correct it; null if there is no advice
    message_code: ReasonCode | None = None  #: code of the message
    remedy_code: ReasonCode | None = None  #: code of the remedy


@dataclass(frozen=True, slots=True)
class Validation:
    """The result of checking a request."""

    valid: bool  #: whether a start would be accepted
    errors: tuple[FindingView, ...]  #: each prevents a start
    warnings: tuple[FindingView, ...]  #: do not prevent a start
    plan: TrainingPlan | None  #: as far as it is known, also with errors
    gpus: PlannedGPUs | None  #: the GPUs that it would get now; null if there is no plan
    estimated_duration: float | None  #: seconds from its start to its end, as trainings here usually take


class XAxis(StrEnum):
    """The x-axis of a series."""

    STEP = "step"
    EPOCH = "epoch"


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One value, or null if it was not a number. One of `step` and `epoch` is null."""

    step: int | None  #: null for a value of an epoch
    epoch: int | None  #: null for a value of a step
    value: float | None  #: null if it was not a number
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A metric over steps or epochs. `total` counts all values; `data` has at most `limit` of them."""

    metric: str  #: name as requested
    type: str  #: whether the points belong to steps or epochs
    data: tuple[SeriesPoint, ...]  #: oldest first; at most `limit` points
    total: int  #: number of values before they were thinned out
    nan_count: int  #: values that were not numbers
    is_downsampled: bool  #: whether `data` leaves out values
    available: tuple[str, ...]  #: names of all metrics of this training


@dataclass(frozen=True, slots=True)
class ExportView:
    """A LoRA that is made of a checkpoint."""

    export_id: str | None  #: id of the task that makes it; null if the trainer itself saved a model at this step
    task_id: str  #: the training
    checkpoint: str  #: global_step100
    step: int  #: step of the model: that of the checkpoint, or the next one with the method `resume`
    method: ExportMethod  #: direct: of the checkpoint's files; resume: by the trainer, which makes one more step
    status: TaskStatus  #: of the export
    progress: float | None  #: in %; null until it has begun, and with the method `resume`
    path: str | None  #: of the model among the training's files; null until it is complete, and if it was deleted
    url: str | None  #: where the model is downloaded; null like `path`
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: code and parameters of the reason, for programs and translations
    failure: Cause | None  #: cause of the failure; null unless `status` is `failed`
    created_at: datetime | None  #: null if the trainer itself saved the model
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class CheckpointList:
    """The checkpoints of a training, oldest first."""

    run_dir: str | None  #: the trainer's directory that contains them; null if there is none
    checkpoints: tuple[Checkpoint, ...]  #: empty if there are none
    exports: tuple[ExportView, ...] = ()  #: the latest 100 exports of checkpoints, newest first


@dataclass(frozen=True, slots=True)
class DeletedCheckpoint:
    """The deleted checkpoint."""

    task_id: str
    checkpoint: str  #: name of the deleted checkpoint
    freed_bytes: int | None  #: bytes that its files had; null if some of them could not be deleted


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a training made. `path` is its path in the download URL."""

    path: str  #: its path in the download URL
    download_name: str  #: suggested file name
    kind: str  #: model, checkpoint, sample, events, config, other
    size_bytes: int
    modified_at: datetime  #: when it was last written
    is_complete: bool  #: a file of a checkpoint is complete when the checkpoint is


@dataclass(frozen=True, slots=True)
class Deleted:
    """The deleted task, and the directory of its remaining files."""

    task_id: str
    files_deleted: bool  #: whether its files were deleted, too
    directory: str | None  #: directory of its remaining files; null if none remain
