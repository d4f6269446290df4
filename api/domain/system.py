"""The machine and the service as the API shows them. Memory and disk in MB, times in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.domain.gpu import GPUSummary
from api.domain.reading import SourceName
from api.domain.training import TaskStatus


@dataclass(frozen=True, slots=True)
class HostMemory:
    """The host's memory in MB."""

    total: int
    used: int
    available: int
    percent: float


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The disk that holds `path`, in MB."""

    path: str
    total: int | None
    used: int | None
    free: int | None
    percent: float | None


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """The machine. `cpu_percent` covers the last sweep of the GPUs; load is over 1, 5 and 15 minutes.

    The flat fields repeat values for clients that know no others. `disk_*` is the disk of the storage.
    """

    hostname: str
    os: str
    cpu_count: int | None
    cpu_percent: float | None
    load_average: tuple[float, ...]
    memory: HostMemory
    disks: tuple[DiskUsage, ...]
    uptime: int
    cpu_usage: float | None
    memory_total: int
    memory_used: int
    memory_available: int
    disk_total: int | None
    disk_used: int | None
    disk_free: int | None


@dataclass(frozen=True, slots=True)
class GPUTotals(GPUSummary):
    """The GPUs in figures. `total`, `available` and `busy` repeat the fields with longer names."""

    total: int
    available: int
    busy: int


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """The number of trainings, in total and by status."""

    total: int
    queued: int
    starting: int
    running: int
    stopping: int
    completed: int
    failed: int
    stopped: int


@dataclass(frozen=True, slots=True)
class NodeAtAGlance:
    """A machine of this service."""

    name: str
    state: str  #: up, draining, down or unknown, as in /nodes
    gpus: int


@dataclass(frozen=True, slots=True)
class HolderCounts:
    """The number of tasks that hold GPUs, by type."""

    total: int
    training: int
    preprocessing: int
    download: int
    cache: int
    push: int
    external: int


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
    model_types: tuple[str, ...]
    ready: bool
    problems: tuple[TrainerProblem, ...]


@dataclass(frozen=True, slots=True)
class ExecutorAtAGlance:
    """The executor that starts trainings, and its nodes."""

    name: str  #: local: this machine; slurm: a cluster
    nodes: tuple[str, ...]  #: nodes whose GPUs it can assign
    partitions: tuple[str, ...] = ()  #: partitions of the cluster that a request may choose
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemOverview:
    """The machine, its GPUs and its tasks at a glance. `uptime` is the service's."""

    system: SystemInfo
    gpus: GPUTotals
    source: SourceName
    tasks: TaskTotals
    trainings: Mapping[TaskStatus, int]  #: number of trainings by status
    holders: HolderCounts
    nodes: tuple[NodeAtAGlance, ...]
    trainers: tuple[TrainerAtAGlance, ...]
    executor: ExecutorAtAGlance
    uptime: int
    version: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the service is alive.

    `status` is `ok`; `degraded` if it works except for what `problems` names; or `failing` if it cannot store anything.
    """

    status: str
    version: str
    uptime: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether answers are reliable, with the reasons if they are not."""

    status: str
    reasons: tuple[str, ...]
    source: SourceName
    reading_age: float | None
