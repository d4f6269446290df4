"""The nodes of a fleet: their reports, stored records and views in the API."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from api.domain.machines.reading import (
    DriverVersions,
    FaultKind,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    SourceName,
    XidEvent,
)
from api.domain.machines.shared_storage import NodeStorage, StorageProbeRequest, StorageReport
from api.domain.reason import Reason, ReasonCode, ReportedMessage
from api.domain.tasks.task import TaskType

#: Seconds without a report after which a node's readings are no longer used.
SILENT_SECONDS = 15.0

#: Version of the report format. A format newer by one is accepted, without its additions.
REPORT_FORMAT = 1

#: Limit of Xid errors in one report. The rest follows in the next.
MOST_XIDS = 200

#: Pattern of a node name.
NODE_NAME = r"[A-Za-z0-9][A-Za-z0-9.\-]{0,62}"


def fold_name(name: str) -> str:
    """Return the normalised form of a node name. As in host names, case is ignored."""
    return name.lower()


def find_name(name: str, known: Iterable[str]) -> str | None:
    """Return a node's name as spelt in the known names, or None if it is unknown."""
    spelt = list(known)
    folded = fold_name(name)
    return name if name in spelt else next((each for each in spelt if fold_name(each) == folded), None)


class NodeStatus(StrEnum):
    """The status of a node."""

    UP = "up"
    DRAINING = "draining"  #: alive, but no new tasks start on it
    DOWN = "down"  #: it reported its shutdown
    UNKNOWN = "unknown"  #: it does not report: it and its tasks may still run


class NodeRole(StrEnum):
    """The role of a server."""

    ALL = "all"  #: a head: serves the API
    NODE = "node"  #: reads its GPUs and reports them to a head


@dataclass(frozen=True, slots=True)
class GPUReport:
    """One GPU in a node's report. `age` is the age of the reading in seconds, so that clocks need not agree."""

    index: int | None
    identity: GPUIdentity | None
    vitals: GPUVitals | None = None
    condition: GPUCondition | None = None
    processes: tuple[GPUProcess, ...] | None = None
    processes_unlisted: str | None = None
    fault: FaultKind | None = None
    fault_reason: ReportedMessage | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True)
class NodeLocation:
    """Identifies the program of a node, in case two programs use one name."""

    machine: str  #: id of the installation
    host: str
    port: int  #: port of its own metrics, which two programs cannot share
    started: str = ""  #: random id of each start

    @property
    def is_at(self) -> tuple[str, str, int]:
        """The location without the start. A program with the same value is the successor of the former one."""
        return self.machine, self.host, self.port

    def __str__(self) -> str:
        return f"{self.host} (port {self.port})"


@dataclass(frozen=True, slots=True)
class MachineReport:
    """A report of a node: all its GPUs after one sweep."""

    format: int
    version: str
    place: NodeLocation
    sequence: int
    interval: float  #: seconds between two reports
    source: SourceName
    versions: DriverVersions
    gpus: tuple[GPUReport, ...]
    sweep_seconds: float = 0.0
    stuck: int = 0
    problem: ReportedMessage | None = None
    problem_code: int | None = None
    sent_at: float | None = None  #: Unix seconds on the node's clock
    clock_offset: float | None = None  #: seconds by which its clock is ahead of the head's, from the head's last answer
    xids: tuple[XidEvent, ...] = ()
    leaves: bool = False  #: the node is shutting down
    storage: StorageReport | None = None  #: its probe of the STORAGE_ROOT that it shares with its head
    boot: str = ""  #: the kernel's id of the current boot; empty if the kernel or an older node gives none
    uptime: float | None = None  #: seconds since that boot, including sleep; grows with each report


@dataclass(frozen=True, slots=True)
class Drain:
    """An order that no new tasks start on a node."""

    since: datetime  #: when it was ordered
    reason: str
    by: str  #: who ordered it

    @property
    def message(self) -> Reason:
        """The reason and its author."""
        return Reason.of("{why} ({who})", "drained_by", why=self.reason, who=self.by)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node as stored in the database."""

    name: str
    role: NodeRole | None = None  #: None: a machine that was a head before the database stored nodes
    place: NodeLocation | None = None
    version: str | None = None
    clock_offset: float | None = None
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    left_at: datetime | None = None
    drain: Drain | None = None


@dataclass(frozen=True, slots=True)
class NodeWarning:
    """A problem of a node that still works."""

    #: clock_skew, newer_version, older_version, uuid_elsewhere, storage_not_shared, report_refused, other_server
    code: str
    message: str
    message_code: ReasonCode  #: code of the message, for programs and translations


@dataclass(frozen=True, slots=True)
class NodeGPUs:
    """The GPU counts of a node."""

    total: int  #: number of all its GPUs
    available: int  #: number that a task can get now
    busy: int  #: number in use
    unknown: int  #: number whose state is unknown


@dataclass(frozen=True, slots=True)
class NodeTask:
    """A task that holds GPUs of a node."""

    task_id: str
    task_type: str  #: kind of the task
    gpu_uuids: tuple[str, ...]
    has_ended: bool = False  #: its process has ended; it holds the GPUs only until they are known to be free


@dataclass(frozen=True, slots=True)
class SlurmNode:
    """A node as Slurm reports it: `state` in this service's terms, `says` in Slurm's, and the reason."""

    state: NodeStatus  #: unknown if Slurm has not answered for long
    says: tuple[str, ...]  #: states as Slurm prints them
    reason: str | None
    partitions: tuple[str, ...]  #: partitions that contain it


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node in `/nodes`. `clock_skew_seconds` is how far its clock is ahead of this server's."""

    name: str  #: name of the node
    state: NodeStatus  #: whether it works and accepts tasks
    reason: str | None  #: why it is not up; null if it is
    reason_code: ReasonCode | None
    role: NodeRole  #: what its service does
    is_this_server: bool  #: whether it answers this request
    host: str | None  #: address of its service; null if it has none
    port: int | None  #: port of its service; null if it has none
    version: str | None  #: version of its service
    driver_version: str | None
    cuda_version: str | None
    source: SourceName | None
    source_problem: str | None  #: why there are no readings, if the driver fails
    first_seen: datetime | None  #: time of its first report
    last_seen: datetime | None  #: time of its latest report
    silent_seconds: float | None  #: seconds since its last report, rounded
    clock_skew_seconds: float | None  #: seconds by which its clock is ahead of this server's; null if unknown
    drain: Drain | None  #: order that nothing new starts on it; null if none
    gpus: NodeGPUs  #: number of its GPUs by state
    gpu_uuids: tuple[str, ...]
    tasks: tuple[NodeTask, ...]  #: tasks that hold its GPUs
    warnings: tuple[NodeWarning, ...] = ()  #: problems of a node that still works
    slurm: SlurmNode | None = None  #: None: Slurm has no such node, or it is not known yet
    storage: NodeStorage | None = None  #: access to the cluster's shared storage; None: not needed


@dataclass(frozen=True, slots=True)
class HeldGPUs:
    """The GPUs that a task holds on a node."""

    task_id: str
    task_type: TaskType  #: kind of the task
    gpu_uuids: tuple[str, ...]
    started_at: datetime


@dataclass(frozen=True, slots=True)
class ReportReceipt:
    """The answer of a head to a report."""

    time: float  #: Unix seconds on the head's clock
    version: str  #: version of the head
    state: NodeStatus
    drain: Drain | None  #: order that nothing new starts there; null if none
    held: tuple[HeldGPUs, ...] = ()  #: tasks that hold the node's GPUs, as far as the head knows
    warnings: tuple[NodeWarning, ...] = ()
    storage: StorageProbeRequest | None = None  #: storage probe that the node should check for
    settings: Mapping[str, str] = field(default_factory=dict)  #: stored settings that concern nodes, by name
