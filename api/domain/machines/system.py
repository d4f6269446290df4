"""The machine and the service as the API shows them. Memory and disk in MB, times in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.domain.machines.gpu import GPUSummary
from api.domain.machines.reading import SourceName
from api.domain.tasks.training import TaskStatus


@dataclass(frozen=True, slots=True)
class HostMemory:
    """The host's memory in MB."""

    total: int  #: MB
    used: int  #: MB
    available: int  #: MB that programs can still get
    percent: float  #: used share


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The disk that holds `path`, in MB."""

    path: str  #: a directory on it
    total: int | None  #: MB; null if it cannot be read
    used: int | None  #: MB; null if it cannot be read
    free: int | None  #: MB; null if it cannot be read
    percent: float | None  #: used share; null if it cannot be read


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """The machine. `cpu_percent` covers the last sweep of the GPUs; load is over 1, 5 and 15 minutes.

    The flat fields repeat values for clients that know no others. `disk_*` is the disk of the storage.
    """

    hostname: str  #: name of the machine
    os: str  #: operating system
    cpu_count: int | None  #: null if unknown
    cpu_percent: float | None  #: % of all CPUs; null if unknown
    load_average: tuple[float, ...]  #: over 1, 5 and 15 minutes
    memory: HostMemory  #: of the host
    disks: tuple[DiskUsage, ...]  #: those that the service writes to
    uptime: int  #: seconds since the machine started
    cpu_usage: float | None  #: equals `cpu_percent`
    memory_total: int  #: MB
    memory_used: int  #: MB
    memory_available: int  #: MB
    disk_total: int | None  #: MB; null if unknown
    disk_used: int | None  #: MB; null if unknown
    disk_free: int | None  #: MB; null if unknown


@dataclass(frozen=True, slots=True)
class GPUTotals(GPUSummary):
    """The GPUs in figures. `total`, `available` and `busy` repeat the fields with longer names."""

    total: int  #: equals `total_gpus`
    available: int  #: equals `available_gpus`
    busy: int  #: equals `busy_gpus`


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """The number of trainings, in total and by status."""

    total: int  #: all of them
    queued: int  #: waiting for GPUs
    starting: int  #: getting their GPUs
    running: int  #: running
    stopping: int  #: being stopped
    completed: int  #: ended well
    failed: int  #: ended with a failure
    stopped: int  #: ended by a stop


@dataclass(frozen=True, slots=True)
class NodeAtAGlance:
    """A machine of this service."""

    name: str
    state: str  #: up, draining, down or unknown, as in /nodes
    gpus: int  #: its GPUs by state


@dataclass(frozen=True, slots=True)
class HolderCounts:
    """The number of tasks that hold GPUs, by type."""

    total: int  #: all of them
    training: int  #: trainings
    preprocessing: int  #: preprocessing tasks
    download: int  #: downloads
    cache: int  #: tasks that build caches
    rehearsal: int  #: rehearsals of trainings
    push: int  #: pushes
    export: int  #: exports of checkpoints
    sample: int  #: tasks that render samples
    external: int  #: registrations of other programs


@dataclass(frozen=True, slots=True)
class TrainerProblem:
    """A missing requirement of a trainer on this machine: its code, a message and a remedy."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class TrainerAtAGlance:
    """A trainer, its model types, and whether it can start tasks here."""

    name: str
    model_types: tuple[str, ...]  #: values for `model_type`
    ready: bool  #: whether it can start tasks here
    problems: tuple[TrainerProblem, ...]  #: missing requirements


@dataclass(frozen=True, slots=True)
class ExecutorAtAGlance:
    """The executor that starts trainings, and its nodes."""

    name: str  #: local: this machine; slurm: a cluster
    nodes: tuple[str, ...]  #: nodes whose GPUs it can assign
    partitions: tuple[str, ...] = ()  #: partitions of the cluster that a request may choose
    features: tuple[str, ...] = ()  #: features of the cluster's nodes, for `constraint`


@dataclass(frozen=True, slots=True)
class SystemOverview:
    """The machine, its GPUs and its tasks at a glance. `uptime` is the service's."""

    system: SystemInfo  #: the machine
    gpus: GPUTotals  #: all GPUs in figures
    source: SourceName
    tasks: TaskTotals  #: number of trainings by status
    trainings: Mapping[TaskStatus, int]  #: number of trainings by status
    holders: HolderCounts  #: tasks that hold GPUs
    nodes: tuple[NodeAtAGlance, ...]  #: all machines
    trainers: tuple[TrainerAtAGlance, ...]  #: the installed trainers
    executor: ExecutorAtAGlance  #: what starts trainings
    uptime: int  #: seconds since the service started
    version: str  #: version of the service


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the service is alive.

    `status` is `ok`; `degraded` if it works except for what `problems` names; or `failing` if it cannot store anything.
    """

    status: str
    version: str  #: version of the service
    uptime: int  #: seconds since the service started
    problems: tuple[str, ...] = ()  #: what does not work


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether answers are reliable, with the reasons if they are not."""

    status: str  #: `ready`, or `not_ready`
    reasons: tuple[str, ...]  #: why it is not ready
    source: SourceName
    reading_age: float | None  #: seconds since the GPUs were read; null: never
