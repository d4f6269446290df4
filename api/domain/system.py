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
    """The machine. `cpu_percent` is over the last sweep of the GPUs; load over 1, 5 and 15 minutes.

    The flat fields say the same for programs that know no others; `disk_*` is the disk of the storage.
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
    """The GPUs in figures; the short names say how many there are, can be had, and are busy."""

    total: int
    available: int
    busy: int


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """How many trainings there are, and in each status."""

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
    state: str  #: up: it answers; else draining, down or unknown, as in /nodes
    gpus: int


@dataclass(frozen=True, slots=True)
class HolderCounts:
    """How many tasks hold GPUs, by type."""

    total: int
    training: int
    preprocessing: int
    download: int
    cache: int
    push: int
    external: int


@dataclass(frozen=True, slots=True)
class TrainerProblem:
    """Something that a trainer lacks on this machine: a stable word for it, what it is, and what to do about it."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class TrainerAtAGlance:
    """A trainer, what it can train, and whether it can start anything here."""

    name: str
    model_types: tuple[str, ...]
    ready: bool
    problems: tuple[TrainerProblem, ...]


@dataclass(frozen=True, slots=True)
class ExecutorAtAGlance:
    """What starts trainings, and where."""

    name: str  #: local: this machine; slurm: a cluster
    nodes: tuple[str, ...]  #: the machines whose GPUs it can give
    partitions: tuple[str, ...] = ()  #: of the cluster: what a request may wish for
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemOverview:
    """The machine, its GPUs and tasks at a glance; `uptime` is the service's."""

    system: SystemInfo
    gpus: GPUTotals
    source: SourceName
    tasks: TaskTotals
    trainings: Mapping[TaskStatus, int]  #: how many there are in each status
    holders: HolderCounts
    nodes: tuple[NodeAtAGlance, ...]
    trainers: tuple[TrainerAtAGlance, ...]
    executor: ExecutorAtAGlance
    uptime: int
    version: str


@dataclass(frozen=True, slots=True)
class Health:
    """The service is alive. `status`: `ok`; `degraded`: it works, without what `problems` names; `failing`: nothing
    is kept any more.
    """

    status: str
    version: str
    uptime: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether answers can be relied on, and what is wrong when not."""

    status: str
    reasons: tuple[str, ...]
    source: SourceName
    reading_age: float | None
