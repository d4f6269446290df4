"""A task with attempts, a training above all: words, states, and which state may follow which. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.cause import Cause, CauseCode
from api.domain.dataset import PinnedDataset
from api.domain.dataset_cache import PlannedCache
from api.domain.engine import EngineWishes
from api.domain.measured_memory import PlannedMemory
from api.domain.progress import ProgressReport
from api.domain.reason import ReasonCode
from api.domain.task import TaskType


class TaskStatus(StrEnum):
    """Where a task is in its life."""

    QUEUED = "queued"  #: waits for GPUs
    STARTING = "starting"  #: holds its GPUs; its process is being started
    RUNNING = "running"  #: its process runs
    STOPPING = "stopping"  #: was asked to stop; its process still runs
    COMPLETED = "completed"  #: the trainer said that it was done
    FAILED = "failed"  #: it ended otherwise; the cause says how
    STOPPED = "stopped"  #: it ended because it was asked to

    @property
    def is_finished(self) -> bool:
        """Whether the status is final: nothing more happens by itself."""
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.STOPPED)

    @property
    def is_active(self) -> bool:
        """Whether a task of this status has an attempt that may hold GPUs."""
        return self in (TaskStatus.STARTING, TaskStatus.RUNNING, TaskStatus.STOPPING)


#: Which status may follow which; every change is guarded by it. From an active status back to `queued` leads a retry.
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
    """How hard a stop is being asked for, from soft to hard."""

    CHECKPOINT = "checkpoint"  #: the signal file asks the trainer to save a checkpoint and quit
    TERMINATE = "terminate"  #: SIGTERM to the whole tree
    KILL = "kill"  #: SIGKILL to the whole tree


@dataclass(frozen=True, slots=True)
class GPURequest:
    """Which GPUs a task wants: these, or any `count` with `min_memory` MB free."""

    references: tuple[int | str, ...] = ()  #: indices or UUIDs
    count: int = 1  #: 0: it needs none
    min_memory: int = 0
    is_single: bool = False  #: asked for as gpu_id, and not in a list


@dataclass(frozen=True, slots=True)
class TaskNotice:
    """Who wants to be told of what happens to a task."""

    on: tuple[str, ...] = ()  #: the words of NOTICES
    channels: tuple[str, ...] = ()  #: names of channels


#: What people can have themselves told of their own training.
NOTICES = ("finished", "failed", "hung", "nan", "no_checkpoint", "slow", "waiting")


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What a user asked for. It holds no secrets: they are kept in a file of their own."""

    model_type: str
    gpus: GPURequest = field(default_factory=GPURequest)
    name: str | None = None
    description: str | None = None
    priority: int = 0
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
    cache_only: bool = False  #: it ends when the dataset is cached
    notify: TaskNotice | None = None
    slurm: EngineWishes | None = None  #: what it wishes of a cluster

    @property
    def gpu_count(self) -> int:
        """How many GPUs it needs."""
        return len(self.gpus.references) or self.gpus.count


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a request amounts to. Memory in MB for each GPU; unknown is None."""

    trainer: str
    model_type: str
    gpu_count: int
    epochs: int | None = None
    steps_per_epoch: int | None = None
    total_steps: int | None = None
    max_steps: int | None = None  #: a bound that the request itself sets
    global_batch_size: int | None = None  #: examples a step: over all data-parallel GPUs
    dataset_items: int | None = None  #: images and videos that are used, once each
    estimated_memory_mb: int | None = None
    memory_basis: str | None = None  #: where the figure of the memory comes from
    weights_mb: int | None = None  #: what the trained weights alone take, after block swapping and by stage
    memory: PlannedMemory | None = None  #: what trainings used here that can be compared; None: nothing is compared
    files: Mapping[str, str] = field(default_factory=dict)  #: the files that the trainer will read: text by name
    command: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()  #: cache directories that it writes; one task at a time may
    evaluates: bool = False
    notes: tuple[str, ...] = ()  #: what could not be known, and why; and what has changed since
    datasets: tuple[PinnedDataset, ...] = ()  #: the versions of named datasets that it uses
    cache: PlannedCache | None = None  #: what is known of a cache made ahead; None: it names no dataset


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Resumable state that the trainer wrote at a step."""

    name: str  #: global_step100
    step: int | None
    size_bytes: int
    created_at: datetime
    is_complete: bool  #: the trainer's file `latest` names it, or it was written before one that is named
    is_latest: bool


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """How an attempt goes on from a checkpoint."""

    checkpoint: str | None = None  #: None is the last complete one
    reset_dataloader: bool = False
    reset_optimizer: bool = False


class EventKind(StrEnum):
    """What an event of a task tells."""

    STATUS = "status"  #: it went from one status to another
    STOP = "stop"  #: a stop was asked for, or is being carried out harder
    STAGE = "stage"  #: the trainer went on to something else
    CHECKPOINT = "checkpoint"  #: a checkpoint was completed or removed
    WARNING = "warning"  #: something needs attention: a hang, a full disk
    CHANGE = "change"  #: somebody changed the task


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """An append-only fact about a task; `id` grows with each."""

    id: int
    task_id: str
    attempt: str | None
    timestamp: datetime
    type: EventKind
    previous: str | None
    current: str | None
    actor: str  #: who: a user by way of the API, the scheduler, the supervisor, the service
    message: str
    details: Mapping[str, Any] | None = None
    message_code: ReasonCode | None = None  #: the message for programs, and in other languages


@dataclass(frozen=True, slots=True)
class StopState:
    """A stop that was asked for. `cause` is set when the service itself asked: the task then fails with it."""

    requested_at: datetime
    actor: str
    force: bool
    timeout_seconds: float | None  #: for the checkpoint; None is the service's setting
    rung: StopRung | None = None  #: None until the supervisor has taken it up
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """A task without its request and plan: what lists and the scheduler need."""

    serial: int
    task_id: str
    status: TaskStatus
    model_type: str
    trainer: str
    name: str | None
    description: str | None
    priority: int
    gpus: GPURequest
    gpu_count: int
    caches: tuple[str, ...]
    created_at: datetime
    queued_at: datetime
    not_before: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    attempts: int
    retries: int
    retries_in_a_row: int
    restarted_from: str | None
    gpu_uuids: tuple[str, ...]
    progress: ProgressReport | None
    cause: Cause | None
    stop: StopState | None
    resume: ResumeOptions | None
    warning: str | None
    warning_code: ReasonCode | None
    owner: str | None  #: the user that it belongs to; None where no keys were asked for
    kind: TaskType
    result: Mapping[str, Any] | None  #: what it made, as its kind has it; None before its end, and for trainings

    @property
    def needs_gpus(self) -> bool:
        """Whether it waits for GPUs; otherwise for one of the places of tasks without them."""
        return self.gpu_count > 0


@dataclass(frozen=True, slots=True)
class TrainingTask(TaskSummary):
    """A task with everything that is kept of it."""

    request: TrainingRequest
    plan: TrainingPlan


@dataclass(frozen=True, slots=True)
class NewTask:
    """What a task begins with."""

    task_id: str
    trainer: str
    request: TrainingRequest
    plan: TrainingPlan
    restarted_from: str | None = None
    idempotency_key: str | None = None
    owner: str | None = None
    kind: TaskType = TaskType.TRAINING
    keys_since: datetime | None = None  #: older tasks no longer hold their idempotency keys; None: all do


class AttemptStatus(StrEnum):
    """Where an attempt is in its life."""

    CLAIMED = "claimed"  #: it holds its GPUs; nothing was started
    SUBMITTED = "submitted"  #: its supervisor is being started; from here on only an outcome ends it
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a task."""

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
    """In which order a list shows tasks."""

    NEWEST = "newest"
    QUEUE = "queue"  #: only those that wait, as they are served: by priority, then age


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks a list shows; empty and None do not restrict it."""

    statuses: tuple[TaskStatus, ...] = ()
    model_type: str | None = None
    gpu_uuid: str | None = None
    search: str | None = None  #: part of the id, name or description
    owner: str | None = None
    seen_by: str | None = None  #: the user whose tasks alone may be seen; None: everybody's
    kind: TaskType | None = None
    pushed_model: str | None = None  #: the registered model that it pushes
