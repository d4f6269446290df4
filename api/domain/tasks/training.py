"""Tasks, trainings above all: their statuses, transitions, requests, plans and attempts. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from api.domain.datasets.dataset import PinnedDataset
from api.domain.datasets.dataset_cache import PlannedCache
from api.domain.reason import ReasonCode
from api.domain.samples.sample_set import RequestedSamples, SampleOrder
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.labels import RANK_OF_CLASS, Labels, ListedLabels
from api.domain.tasks.measured_memory import PlannedMemory
from api.domain.tasks.progress import ProgressReport
from api.domain.tasks.rehearsal import PlannedRehearsal
from api.domain.tasks.task import TaskType


class TaskStatus(StrEnum):
    """The status of a task."""

    QUEUED = "queued"  #: waits for GPUs
    STARTING = "starting"  #: holds its GPUs; its process is being started
    RUNNING = "running"  #: its process runs
    STOPPING = "stopping"  #: a stop was requested; its process still runs
    COMPLETED = "completed"  #: the trainer reported completion
    FAILED = "failed"  #: ended otherwise; see the cause
    STOPPED = "stopped"  #: ended by a requested stop

    @property
    def is_finished(self) -> bool:
        """Whether the status is final. Only a request can change it."""
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.STOPPED)

    @property
    def is_active(self) -> bool:
        """Whether a task of this status has an attempt that may hold GPUs."""
        return self in (TaskStatus.STARTING, TaskStatus.RUNNING, TaskStatus.STOPPING)


#: The statuses of tasks that have ended, and of all others.
FINISHED = tuple(status for status in TaskStatus if status.is_finished)
UNFINISHED = tuple(status for status in TaskStatus if not status.is_finished)

#: Allowed status changes; every change is checked against them. A retry leads from an active status back to `queued`.
TRANSITIONS: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.QUEUED: frozenset({TaskStatus.STARTING, TaskStatus.STOPPED, TaskStatus.FAILED}),
    TaskStatus.STARTING: frozenset(
        {
            TaskStatus.RUNNING,
            TaskStatus.STOPPING,
            TaskStatus.COMPLETED,
            TaskStatus.FAILED,
            TaskStatus.QUEUED,
        }
    ),
    TaskStatus.RUNNING: frozenset({TaskStatus.STOPPING, TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.QUEUED}),
    TaskStatus.STOPPING: frozenset({TaskStatus.STOPPED, TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.QUEUED}),
    TaskStatus.COMPLETED: frozenset({TaskStatus.QUEUED}),
    TaskStatus.FAILED: frozenset({TaskStatus.QUEUED}),
    TaskStatus.STOPPED: frozenset({TaskStatus.QUEUED}),
}


class StopRung(StrEnum):
    """The steps of a stop, from soft to hard."""

    CHECKPOINT = "checkpoint"  #: the signal file asks the trainer to save a checkpoint and quit
    TERMINATE = "terminate"  #: SIGTERM to the whole process tree
    KILL = "kill"  #: SIGKILL to the whole process tree


#: More than the difference of any two priorities.
CLASS_STEP = 10_000


@dataclass(frozen=True, slots=True)
class GPURequest:
    """The GPUs that a task requests: specific ones, or any `count` with `min_memory` MB free."""

    references: tuple[int | str, ...] = ()  #: indices or UUIDs
    count: int = 1  #: 0: needs no GPU
    min_memory: int = 0
    is_single: bool = False  #: requested as gpu_id instead of a list


@dataclass(frozen=True, slots=True)
class TaskNotice:
    """Notifications that a request asks for."""

    on: tuple[str, ...] = ()  #: values of NOTICES
    channels: tuple[str, ...] = ()  #: names of channels


#: Events of their own training that users can be notified of.
NOTICES = ("finished", "failed", "hung", "nan", "no_checkpoint", "slow", "waiting")


@dataclass(frozen=True, slots=True)
class TrainingRequest(Labels):
    """A user's request. It has no secrets, which are stored in a separate file."""

    model_type: str
    gpus: GPURequest = field(default_factory=GPURequest)
    queue: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    config_toml: str | None = None
    dataset_toml: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    max_retries: int = 0
    retry_on: tuple[CauseCode, ...] | None = None
    stop_on_hang: bool = False
    keep_last_checkpoints: int | None = None
    regenerate_cache: bool = False
    trust_cache: bool = False
    cache_only: bool = False  #: the task ends when the dataset is cached
    rehearsal: bool = False  #: the task makes a few steps on two items, and leaves no files
    notify: TaskNotice | None = None
    slurm: ClusterOptions | None = None  #: options for the cluster
    samples: RequestedSamples | None = None  #: to render after saved models

    @property
    def gpu_count(self) -> int:
        """The number of GPUs that it needs."""
        return len(self.gpus.references) or self.gpus.count


@dataclass(frozen=True, slots=True)
class PlannedOutputs:
    """The steps at which a training evaluates or saves, and the disk space of what it saves. Unknown is None."""

    count: int | None  #: number of them; null if unknown
    steps: tuple[int, ...] = ()  #: the first 100; 0 is before the first step
    each_bytes: int | None = None  #: estimated size of one of them
    total_bytes: int | None = None  #: of all that are stored at the end


@dataclass(frozen=True, slots=True)
class PlannedExport:
    """The export of a checkpoint by the trainer itself, which resumes a copy of it and saves a model after one step."""

    task_id: str  #: the training
    run: str  #: the name of its run directory
    checkpoint: str  #: global_step100
    written_at: str  #: when the checkpoint was written
    step: int  #: the step of the model, one after that of the checkpoint


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The plan of a request. Memory in MB per GPU; unknown is None."""

    trainer: str  #: `diffusion_pipe`, or `toy`
    model_type: str  #: as in the request
    gpu_count: int  #: number of GPUs that it needs, all on one machine
    epochs: int | None = None  #: number of epochs
    steps_per_epoch: int | None = None  #: null if the dataset could not be counted
    total_steps: int | None = None  #: null if the dataset could not be counted
    max_steps: int | None = None  #: a limit in the request itself
    global_batch_size: int | None = None  #: examples per step over all data-parallel GPUs
    dataset_items: int | None = None  #: number of images and videos, each counted once
    estimated_memory_mb: int | None = None  #: expected memory of the fullest GPU in MB; null if unknown
    memory_basis: str | None = None  #: source of the memory figure
    memory_basis_code: ReasonCode | None = None  #: code and parameters of the source, for programs and translations
    weights_mb: int | None = None  #: memory of the trained weights alone, after block swapping and by stage
    memory: PlannedMemory | None = None  #: measurements of comparable trainings; None: nothing was compared
    files: Mapping[str, str] = field(default_factory=dict)  #: the files that the trainer will read: text by name
    command: tuple[str, ...] = ()  #: the command line that starts the trainer
    caches: tuple[str, ...] = ()  #: cache directories that it writes to; one task at a time may use them
    evaluates: bool = False  #: whether it also measures the loss on evaluation datasets
    evaluations: PlannedOutputs | None = None  #: None: there are none, or the steps are unknown
    saved_models: PlannedOutputs | None = None  #: null: there are none, or the steps are unknown
    checkpoints: PlannedOutputs | None = None  #: without those by time, whose count is unknown
    notes: tuple[str, ...] = ()  #: facts that could not be determined, and changes since
    note_codes: tuple[ReasonCode, ...] = ()  #: code and parameters of each note, for programs and translations
    datasets: tuple[PinnedDataset, ...] = ()  #: versions of named datasets that it uses
    cache: PlannedCache | None = None  #: prebuilt cache of its dataset; None: it names no dataset
    rehearsal: PlannedRehearsal | None = None  #: null unless it is a rehearsal, whose own steps the plan has
    export: PlannedExport | None = None  #: null unless the trainer resumes a checkpoint to save a model of it


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State that the trainer saved at a step, from which a training can resume."""

    name: str  #: global_step100
    step: int | None  #: from its name; null if the name has none
    size_bytes: int  #: bytes of all its files
    created_at: datetime  #: when it was last written
    is_complete: bool  #: the trainer's file `latest` names it, or it precedes one that is named
    is_latest: bool  #: whether the trainer's file `latest` names it, so that a resume begins there


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where the trainer continues in its dataset when it resumes from a checkpoint."""

    step: int  #: the last step before the checkpoint
    epoch: int
    skipped: int  #: steps of the epoch that are left out; -1 after an epoch's end, where the trainer repeats one step

    def total_steps(self, epochs: int, steps_per_epoch: int, max_steps: int | None) -> int:
        """Return the last step of a resumed training, which finishes at least the epoch that it starts."""
        # A dataset that has become smaller may have fewer steps than were skipped.
        skipped = min(self.skipped, steps_per_epoch)
        total = self.step - skipped + max(1, epochs - self.epoch + 1) * steps_per_epoch
        return total if max_steps is None else min(total, max(max_steps, self.step + 1))


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """How an attempt continues from a checkpoint."""

    checkpoint: str | None = None  #: None: the last complete one
    reset_dataloader: bool = False
    reset_optimizer: bool = False


class EventKind(StrEnum):
    """The kind of a task event."""

    STATUS = "status"  #: the status changed
    STOP = "stop"  #: a stop was requested, or reached its next step
    STAGE = "stage"  #: the trainer entered another stage
    CHECKPOINT = "checkpoint"  #: a checkpoint was completed or removed
    WARNING = "warning"  #: needs attention: a hang, a full disk
    CHANGE = "change"  #: a user changed the task


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """An append-only event of a task. Ids increase."""

    id: int  #: increases with each event
    task_id: str
    attempt: str | None  #: id of the attempt that it is about; null if none
    timestamp: datetime  #: when it happened
    type: EventKind  #: what happened
    previous: str | None  #: status before; null if the status did not change
    current: str | None  #: status after; null if the status did not change
    actor: str  #: author: a user through the API, the scheduler, the supervisor, the service
    message: str
    details: Mapping[str, Any] | None = None  #: more values, depending on the type; null if none
    message_code: ReasonCode | None = None  #: code and parameters of the message, for programs and translations


@dataclass(frozen=True, slots=True)
class StopState:
    """A requested stop. `cause` is set if the service itself requested it: the task then fails with this cause."""

    requested_at: datetime
    actor: str
    force: bool
    timeout_seconds: float | None  #: time for saving the checkpoint; None: the service's setting
    rung: StopRung | None = None  #: None until the supervisor acts on it
    cause: Cause | None = None
    keep_lora: bool = False  #: export the last checkpoint afterwards
    reason: str | None = None  #: why the service requested it, if that is no failure; None: a user requested it
    reason_code: ReasonCode | None = None  #: the code of the reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary(ListedLabels):
    """A task without its request and plan, as lists and the scheduler need it."""

    serial: int
    task_id: str
    status: TaskStatus
    model_type: str
    trainer: str
    gpus: GPURequest
    gpu_count: int
    caches: tuple[str, ...]
    created_at: datetime
    queued_at: datetime
    queue_rank: float  #: its order among queued tasks of equal class and priority, lowest first
    retry_not_before: datetime  #: no retry before this time
    updated_at: datetime
    kind: TaskType
    owner: str | None = None  #: the user that owns it; None if the service has no keys
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int = 0
    retries: int = 0
    retries_in_a_row: int = 0
    restarted_from: str | None = None
    gpu_uuids: tuple[str, ...] = ()
    progress: ProgressReport | None = None
    cause: Cause | None = None
    stop: StopState | None = None
    resume: ResumeOptions | None = None
    warning: str | None = None
    warning_code: ReasonCode | None = None
    #: the result, in a form that depends on the kind; None before its end, and for trainings
    result: Mapping[str, Any] | None = None
    chosen: str | None = None  #: the saved model that a user has chosen; None if none
    sweep_id: str | None = None  #: the sweep that it belongs to; None if none
    sweep_values: Mapping[str, Any] | None = None  #: its own values in the sweep, by JSON pointer
    preempted_by: str | None = None  #: the urgent task for which its last attempt made room; None if there is none

    @property
    def level(self) -> int:
        """Its order in the queue by class, then priority. Higher ones start first."""
        return RANK_OF_CLASS[self.priority_class] * CLASS_STEP + self.priority

    def is_due(self, now: datetime) -> bool:
        """Return whether it may start as far as its user has requested an earliest time."""
        return self.not_before is None or self.not_before <= now

    @property
    def needs_gpus(self) -> bool:
        """Whether it waits for GPUs. Otherwise it waits for a slot for tasks without GPUs."""
        return self.gpu_count > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask(TaskSummary, Labels):
    """A task with its request and plan."""

    request: TrainingRequest
    plan: TrainingPlan


class InLine(Protocol):
    """A queued task, as far as its order among tasks of equal class and priority."""

    @property
    def serial(self) -> int: ...
    @property
    def queue_rank(self) -> float: ...


L = TypeVar("L", bound=InLine)


def in_line_order(tasks: Iterable[L]) -> list[L]:
    """Return tasks of equal class and priority in queue order."""
    # Two stable sorts. A key tuple per task of a long queue would trigger a full garbage collection.
    ordered = sorted(tasks, key=attrgetter("serial"))
    ordered.sort(key=attrgetter("queue_rank"))
    return ordered


def in_queue_order(tasks: Iterable[TaskSummary]) -> list[TaskSummary]:
    """Return tasks in queue order: by class, then priority, then age or the rank to which a user has moved them.

    `FairQueue` lets owners of equal class and priority take turns.
    """
    ordered = in_line_order(tasks)
    ordered.sort(key=attrgetter("level"), reverse=True)
    return ordered


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to create."""

    task_id: str
    trainer: str
    request: TrainingRequest
    plan: TrainingPlan
    restarted_from: str | None = None
    idempotency_key: str | None = None
    owner: str | None = None
    kind: TaskType = TaskType.TRAINING
    samples: SampleOrder | None = None  #: to render after saved models
    keys_since: datetime | None = None  #: idempotency keys of older tasks no longer count; None: all count
    sweep_id: str | None = None
    sweep_values: Mapping[str, Any] | None = None
    resume: ResumeOptions | None = None  #: how its first attempt resumes; None: from scratch


class AttemptStatus(StrEnum):
    """The status of an attempt."""

    CLAIMED = "claimed"  #: holds its GPUs; nothing is started
    SUBMITTED = "submitted"  #: its supervisor is being started; from here on only an outcome ends it
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a task's program."""

    uid: str
    task_id: str
    number: int
    status: AttemptStatus
    token: str
    node: str
    directory: str
    gpu_uuids: tuple[str, ...]
    gpu_indices: tuple[int, ...]
    master_port: int | None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    pid: int | None = None
    pid_start: float | None = None
    run_dir: str | None = None
    known_run_dirs: tuple[str, ...] = ()
    resumed_from: str | None = None
    first_step: int | None = None
    last_step: int | None = None
    peak_memory_mb: int | None = None
    outcome: Mapping[str, Any] | None = None
    cause: Cause | None = None


class TaskOrder(StrEnum):
    """The order of tasks in a list."""

    NEWEST = "newest"
    QUEUE = "queue"  #: only queued tasks in queue order: by class, priority, then age


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to list. Empty and None do not restrict them."""

    statuses: tuple[TaskStatus, ...] = ()
    model_type: str | None = None
    gpu_uuid: str | None = None
    search: str | None = None  #: part of the id, or of a label that is searched
    tag: str | None = None
    owner: str | None = None
    seen_by: str | None = None  #: the only user whose tasks are visible; None: all
    kind: TaskType | None = None
    pushed_model: str | None = None  #: the registered model that it pushes
    sweep: str | None = None  #: the sweep that it belongs to
