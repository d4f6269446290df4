"""The machines of a fleet: what one tells of itself, what is kept of it, and what the API shows."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.reading import (
    DriverVersions,
    FaultKind,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    SourceName,
    XidEvent,
)
from api.domain.reason import Reason, ReasonCode, ToldWords
from api.domain.shared_storage import NodeStorage, StorageCall, ToldStorage
from api.domain.task import TaskType

#: Seconds without a word after which nothing that a node last told counts any more.
SILENT_SECONDS = 15.0

#: The form of reports that this version writes. One that is newer by one is read without what it adds.
REPORT_FORMAT = 1

#: The most Xid errors in a report; the rest follows in the next.
MOST_XIDS = 200

#: What a node can be called.
NODE_NAME = r"[A-Za-z0-9][A-Za-z0-9.\-]{0,62}"


def fold_name(name: str) -> str:
    """Return the form by which names of nodes are compared: as in host names, case does not count."""
    return name.lower()


def find_name(name: str, known: Iterable[str]) -> str | None:
    """Return a node's name as it is spelt among the known ones; None for one that is not among them."""
    spelt = list(known)
    folded = fold_name(name)
    return name if name in spelt else next((each for each in spelt if fold_name(each) == folded), None)


class NodeStatus(StrEnum):
    """What can be said of a node."""

    UP = "up"
    DRAINING = "draining"  #: it is there, and nothing new is started on it
    DOWN = "down"  #: it has said that it ends
    UNKNOWN = "unknown"  #: it is silent: it may live, and so may what runs on it


class NodeRole(StrEnum):
    """What a server is there for."""

    ALL = "all"  #: a head: it serves the API
    NODE = "node"  #: it reads its GPUs and tells a head of them


@dataclass(frozen=True, slots=True)
class ToldGPU:
    """One GPU as a node tells of it. `age` is how many seconds ago it was read, so that no clock is compared."""

    index: int | None
    identity: GPUIdentity | None
    vitals: GPUVitals | None = None
    condition: GPUCondition | None = None
    processes: tuple[GPUProcess, ...] | None = None
    processes_unlisted: str | None = None
    fault: FaultKind | None = None
    fault_reason: ToldWords | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where a node's program runs: of two programs of one name it tells which is meant."""

    machine: str  #: the installation's id
    host: str
    port: int  #: where it serves its own metrics; two programs cannot both have it
    started: str = ""  #: chosen anew at each start

    @property
    def is_at(self) -> tuple[str, str, int]:
        """The place without the start: whoever begins anew at the same one has followed the former."""
        return self.machine, self.host, self.port

    def __str__(self) -> str:
        return f"{self.host} (port {self.port})"


@dataclass(frozen=True, slots=True)
class MachineReport:
    """What a node tells: all its GPUs after one sweep."""

    format: int
    version: str
    place: NodePlace
    sequence: int
    interval: float  #: seconds between two reports
    source: SourceName
    versions: DriverVersions
    gpus: tuple[ToldGPU, ...]
    sweep_seconds: float = 0.0
    stuck: int = 0
    problem: ToldWords | None = None
    problem_code: int | None = None
    sent_at: float | None = None  #: Unix seconds by the node's clock
    clock_offset: float | None = None  #: seconds that its clock is ahead of the head's, by the head's last answer
    xids: tuple[XidEvent, ...] = ()
    leaves: bool = False  #: it ends now
    storage: ToldStorage | None = None  #: its probes of the STORAGE_ROOT that it shares with its head
    boot: str = ""  #: the kernel's id of the machine's present boot; empty where the kernel or an older node gives none
    uptime: float | None = None  #: seconds since that boot, sleep included: each report has a later one


@dataclass(frozen=True, slots=True)
class Drain:
    """Why nothing new is started on a node."""

    since: datetime
    reason: str
    by: str

    @property
    def words(self) -> Reason:
        """Why, and who wants it so."""
        return Reason.of("{why} ({who})", "drained_by", why=self.reason, who=self.by)


@dataclass(frozen=True, slots=True)
class KeptNode:
    """A node as the database knows it."""

    name: str
    role: NodeRole | None = None  #: None: a machine that has been a head before nodes were kept
    place: NodePlace | None = None
    version: str | None = None
    clock_offset: float | None = None
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    left_at: datetime | None = None
    drain: Drain | None = None


@dataclass(frozen=True, slots=True)
class NodeWarning:
    """Something about a node that is to be looked at, though it works."""

    #: clock_skew, newer_version, older_version, uuid_elsewhere, storage_not_shared, report_refused, other_server
    code: str
    message: str
    message_code: ReasonCode


@dataclass(frozen=True, slots=True)
class NodeGPUs:
    """The GPUs of a node in figures."""

    total: int
    available: int
    busy: int
    unknown: int


@dataclass(frozen=True, slots=True)
class NodeTask:
    """A task that has GPUs of a node."""

    task_id: str
    task_type: str
    gpu_uuids: tuple[str, ...]
    has_ended: bool = False  #: what it ran there is over; it keeps the GPUs only until these are known to be free


@dataclass(frozen=True, slots=True)
class SlurmNode:
    """What Slurm says of a node: `state` in this service's words, `says` in its own, and why."""

    state: NodeStatus  #: unknown where Slurm was not heard of for long
    says: tuple[str, ...]
    reason: str | None
    partitions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node in `/nodes`. `clock_skew_seconds` is how far its clock is ahead of this server's."""

    name: str
    state: NodeStatus
    reason: str | None
    reason_code: ReasonCode | None
    role: NodeRole
    is_this_server: bool
    host: str | None
    port: int | None
    version: str | None
    driver_version: str | None
    cuda_version: str | None
    source: SourceName | None
    source_problem: str | None  #: why it has no readings, when its driver gives none
    first_seen: datetime | None
    last_seen: datetime | None
    silent_seconds: float | None  #: since it was last heard, rounded
    clock_skew_seconds: float | None
    drain: Drain | None
    gpus: NodeGPUs
    gpu_uuids: tuple[str, ...]
    tasks: tuple[NodeTask, ...]
    warnings: tuple[NodeWarning, ...] = ()
    slurm: SlurmNode | None = None  #: None where Slurm has no such node, or nothing is known of it yet
    storage: NodeStorage | None = None  #: of a cluster, whose machines share one; None: it needs to share none


@dataclass(frozen=True, slots=True)
class HeldGPUs:
    """Which task has which GPUs of a node."""

    task_id: str
    task_type: TaskType
    gpu_uuids: tuple[str, ...]
    started_at: datetime


@dataclass(frozen=True, slots=True)
class ReportReceipt:
    """What a head answers to a report."""

    time: float  #: Unix seconds by the head's clock
    version: str
    state: NodeStatus
    drain: Drain | None
    held: tuple[HeldGPUs, ...] = ()  #: what holds its GPUs, as far as the head knows
    warnings: tuple[NodeWarning, ...] = ()
    storage: StorageCall | None = None  #: what it is to look for
