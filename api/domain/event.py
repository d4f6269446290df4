"""Append-only facts about GPUs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.reason import ReasonCode


class EventType(StrEnum):
    """What kind of fact an event records."""

    XID = "xid"  #: the driver reported an error of the GPU or of a program on it
    STATUS = "status"  #: a GPU went from one status to another
    HEALTH = "health"  #: the verdict on a GPU changed
    SOURCE = "source"  #: the driver came, went, or failed
    TASK = "task"  #: the registry released a task by itself
    NODE = "node"  #: a machine came, went, fell silent, or was drained


class Severity(StrEnum):
    """How much an event matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class GPUEvent:
    """One event; `id` grows by one with each."""

    id: int
    timestamp: datetime
    type: EventType
    severity: Severity
    gpu_id: int | None
    uuid: str | None
    message: str
    previous: str | None = None
    current: str | None = None
    xid: int | None = None
    message_code: ReasonCode | None = None  #: what the message says, where it is the reason of a status


@dataclass(frozen=True, slots=True)
class NodeGPUEvent(GPUEvent):
    """One event of several machines."""

    node: str | None = None  #: the machine that it is about
